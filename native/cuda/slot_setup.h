#pragma once
// A slot's config in the form in which the device has it, still on the host.
#include <algorithm>
#include <unordered_map>

#include "cuda/kernels/sample_state.h"

namespace kvasir::cuda {

struct SlotSetup {
  SlotState state{};              // but for the arrays' addresses
  std::vector<TokenBias> biases;  // by token; those of one token in the caller's order
  std::vector<int32_t> end_tokens;
  std::vector<SeenToken> seen;
  bool counts = false;  // whether tokens are counted
};

inline SlotSetup setup_of(SlotConfig config) {
  SlotSetup setup;
  const SampleParams& params = config.params;
  const size_t outputs = config.tokens.size() - static_cast<size_t>(config.prompt_length);
  setup.counts = params.repetition_penalty != 1 || params.presence_penalty != 0 || params.frequency_penalty != 0;
  if (setup.counts) {
    std::unordered_map<int32_t, int32_t> seen;
    for (size_t i = 0; i < config.tokens.size(); ++i) seen[config.tokens[i]] += i < static_cast<size_t>(config.prompt_length) ? 0 : 1;
    for (const auto& [token, count] : seen) setup.seen.push_back({token, count});
  }
  setup.biases = std::move(config.biases);
  std::ranges::stable_sort(setup.biases, {}, &TokenBias::token);
  setup.end_tokens = std::move(config.end_tokens);
  setup.state.params = params;
  setup.state.seed = config.seed;
  setup.state.progress = {
      .place = outputs, .last_token = config.tokens.empty() ? 0 : config.tokens.back(), .sampled = -1, .drafts = 0, .kept_token = -1};
  setup.state.min_tokens = config.min_tokens;
  setup.state.logprobs = config.logprobs;
  setup.state.bias_count = static_cast<int>(setup.biases.size());
  setup.state.end_count = static_cast<int>(setup.end_tokens.size());
  return setup;
}

// An output's result where the engine wants it.
inline void deliver(const SampledOutput& output, int at, StepResult& result) {
  result.sampled[at] = output.token;
  result.logprobs[at] = output.logprob;
  std::copy_n(output.top_tokens, output.tops, result.top_tokens.begin() + ptrdiff_t(at) * kMaxTopLogprobs);
  std::copy_n(output.top_logprobs, output.tops, result.top_logprobs.begin() + ptrdiff_t(at) * kMaxTopLogprobs);
}

// Where the logits of an output go in StepResult::logits, in rows; -1: nowhere. The step is in host memory.
inline int64_t logit_row(const StepInputs& step, int output) {
  const int row = step.out_rows[output];
  if (row < 0 || step.logit_rows[row] < 0) return -1;
  const auto kind = static_cast<RowOutput>(step.kinds[row]);
  if (kind != RowOutput::Logits && kind != RowOutput::Score) return -1;
  return step.logit_rows[row] + output - step.out_indptr[row];
}

// Whether an output's raw logits are kept, for a choice that follows.
inline bool keeps_logits(const StepInputs& step, int output) {
  const int row = step.out_rows[output];
  return row >= 0 && static_cast<RowOutput>(step.kinds[row]) == RowOutput::Logits;
}

}  // namespace kvasir::cuda
