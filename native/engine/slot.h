#pragma once
// What the next sample of a sequence depends on, kept on the native side because step N + 1 is planned before step N's tokens are known.
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "ops/sample.h"

namespace kvasir {

// The C++ twin of SlotConfig in lib/native.ts.
struct SlotConfig {
  SampleParams params;
  std::vector<TokenBias> biases;
  uint64_t seed = 0;
  int min_tokens = 0;
  std::vector<int32_t> end_tokens;
  int logprobs = -1;
  std::vector<int32_t> tokens;
  int prompt_length = 0;
};

class Slot {
 public:
  Slot() = default;
  explicit Slot(SlotConfig config);

  bool assigned() const { return assigned_; }  // to a sequence
  int last_token() const { return last_token_; }
  int top() const { return config_.logprobs; }
  // A row for the sample op with this slot's state; the caller sets logits, stages and results.
  SampleRow row() const;
  // The token was sampled: it is counted and becomes the next step's input.
  void accept(int32_t token);

  // Raw logits of a row that a processor has, for the log-probabilities of the token it will choose. Empty otherwise.
  std::vector<float> raw_logits;

 private:
  void count(int32_t token, int output);

  SlotConfig config_;
  bool assigned_ = false;
  int32_t last_token_ = -1;
  uint64_t place_ = 0;  // output tokens so far: the place in the stream of random numbers
  bool counts_ = false;
  std::vector<TokenCount> seen_;
  std::unordered_map<int32_t, size_t> index_;  // token -> place in seen_
};

}  // namespace kvasir
