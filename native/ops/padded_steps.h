#pragma once
// Step inputs at fixed addresses, for back ends that record a step's ops: small steps are padded to sizes that are powers of two, so that
// few recordings serve them all.
#include <map>
#include <tuple>

#include "ops/step.h"

namespace kvasir {

class PaddedSteps {
 public:
  // Steps of up to `most_padded` tokens are padded, larger ones keep their sizes.
  PaddedSteps(const StepSizes& capacity, int most_padded) : capacity_(capacity), most_padded_(most_padded), layout_(capacity) {}

  // int32 elements of the largest step, and those that a step of these sizes uses: its page tables come last and are not padded.
  int64_t elements() const { return layout_.elements(); }
  int64_t used(const StepSizes& sizes) const { return layout_.elements() - capacity_.pages + sizes.pages; }

  StepSizes sizes_for(const Batch& batch) const;
  void write(const Batch& batch, const StepSizes& sizes, int32_t* memory) const { layout_.write(batch, sizes, memory); }
  // The inputs in such memory: of a padded step the same object for the same sizes and memory; of larger ones one that the next of them
  // takes over. Or in memory that is another each time.
  const StepInputs& inputs(const StepSizes& sizes, const int32_t* memory);
  StepInputs view(const StepSizes& sizes, const int32_t* memory, std::span<PageTables> tables) const {
    return layout_.inputs(sizes, memory, tables);
  }

 private:
  struct Inputs {
    std::vector<PageTables> tables;
    StepInputs inputs;
  };
  int padded(int size, int capacity) const;

  const StepSizes capacity_;
  const int most_padded_;
  const StepLayout layout_;
  using Key = std::tuple<const int32_t*, int, int, int, bool>;  // rows, tokens, outputs, long; 0 of larger steps
  std::map<Key, Inputs> inputs_;
};

}  // namespace kvasir
