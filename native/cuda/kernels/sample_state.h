#pragma once
// What a slot is on the device, what the sampler is asked, and what an output gives. Nothing of CUDA: the tests run the same on the host.
#include "ops/sample.h"

namespace kvasir::cuda {

// A token that a sequence has seen: in the prompt, or so often in its output.
struct SeenToken {
  int32_t token;
  int32_t outputs;
};

// What the outputs of a slot change.
struct SlotProgress {
  uint64_t place;      // output tokens so far: the place in the stream of random numbers
  int32_t last_token;  // the next step's input
  int32_t sampled;     // what the row's last output sampled; -1: nothing
  int32_t drafts;      // tokens that a draft model sampled for the slot since it last began
  int32_t kept_token;  // while it drafts: the last token before them; -1 otherwise
};

// A token of a draft model, and the slot's count of it before.
struct DraftedToken {
  int32_t token;
  int32_t count;
};

// A slot in the device's memory, as its arrays.
struct SlotState {
  SampleParams params;
  uint64_t seed;
  SlotProgress progress;
  int min_tokens;
  int logprobs;
  int bias_count;
  int end_count;
  const TokenBias* biases;    // [bias_count] by token; those of one token in the caller's order
  const int32_t* end_tokens;  // [end_count]
  int32_t* counts;            // [V] 0: not seen; n + 1: seen, n times in the output; null where nothing is penalized
  DraftedToken* drafted;      // room for as many as a step has tokens
};

// A result in host memory that the device writes.
struct SampledOutput {
  int32_t token;  // -1: none; kNotNumbers
  float logprob;  // NaN: none
  int32_t tops;   // alternatives that follow
  int32_t top_tokens[kMaxTopLogprobs];
  float top_logprobs[kMaxTopLogprobs];
};

// The outputs of one op `sample`. Whatever differs from step to step of one size is behind these addresses.
struct SampleJob {
  StepInputs step;
  int first;
  int count;
  int vocab;
  int draft_vocab;  // of Draft rows, which have no other tokens
  float* logits;    // [count, V], `stride` elements from a row to the next
  int64_t stride;
  SlotState* slots;
  SampledOutput* const* results;  // where the step's outputs go
};

// One token from changed logits.
struct ChoiceJob {
  int vocab;
  SlotState* slot;
  const float* raw;      // [V] as the model gave them
  const float* changed;  // [V]
  SampledOutput* result;
};

}  // namespace kvasir::cuda
