#include "engine/slot.h"

#include <utility>

namespace kvasir {

Slot::Slot(SlotConfig config) : config_(std::move(config)), assigned_(true) {
  const SampleParams& params = config_.params;
  counts_ = params.repetition_penalty != 1 || params.presence_penalty != 0 || params.frequency_penalty != 0;
  for (size_t i = 0; i < config_.tokens.size(); ++i) {
    const bool output = i >= static_cast<size_t>(config_.prompt_length);
    if (counts_) count(config_.tokens[i], output ? 1 : 0);
    if (output) place_ += 1;
  }
  if (!config_.tokens.empty()) last_token_ = config_.tokens.back();
  config_.tokens = {};
}

SampleRow Slot::row() const {
  SampleRow row{};
  row.params = &config_.params;
  row.seen = seen_;
  row.biases = config_.biases;
  if (place_ < static_cast<uint64_t>(config_.min_tokens)) row.banned = config_.end_tokens;
  row.seed = config_.seed;
  row.place = place_;
  return row;
}

void Slot::accept(int32_t token) {
  last_token_ = token;
  place_ += 1;
  if (counts_) count(token, 1);
}

void Slot::count(int32_t token, int output) {
  auto [entry, added] = index_.try_emplace(token, seen_.size());
  if (added) seen_.push_back({token, 0});
  seen_[entry->second].output_count += output;
}

}  // namespace kvasir
