#include "ops/padded_steps.h"

#include <algorithm>
#include <bit>

namespace kvasir {

StepSizes PaddedSteps::sizes_for(const Batch& batch) const {
  StepSizes sizes = sizes_of(batch, capacity_.groups);
  sizes.rows = padded(sizes.rows, capacity_.rows);
  sizes.tokens = padded(sizes.tokens, capacity_.tokens);
  sizes.outputs = padded(sizes.outputs, capacity_.outputs);
  // As many rows as tokens only where each row has one.
  if (batch.row_count < batch.token_count()) sizes.rows = std::min(sizes.rows, sizes.tokens - 1);
  return sizes;
}

int PaddedSteps::padded(int size, int capacity) const {
  if (size > most_padded_) return size;
  return std::min(static_cast<int>(std::bit_ceil(static_cast<unsigned>(size))), capacity);
}

const StepInputs& PaddedSteps::inputs(const StepSizes& sizes, const int32_t* memory) {
  const bool small = sizes.tokens <= most_padded_;
  auto [entry, added] =
      inputs_.try_emplace(small ? Key{memory, sizes.rows, sizes.tokens, sizes.outputs, sizes.is_long} : Key{memory, 0, 0, 0, false});
  Inputs& own = entry->second;
  if (added || !small) {
    own.tables.resize(sizes.groups);
    own.inputs = layout_.inputs(sizes, memory, own.tables);
  }
  return own.inputs;
}

}  // namespace kvasir
