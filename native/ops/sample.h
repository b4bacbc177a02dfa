#pragma once
// sample: from logits to tokens. A slot holds what the next sample of its sequence depends on, since step N + 1 is planned before step N's
// tokens are known: its parameters, the tokens that it has seen, the last one, and its place in the stream of random numbers.
//
// An output of a row (logits [V], float32; all sums and probabilities in float64) goes through stages, by the row's kind:
//
//   logprobs  (Score; Sample where the slot asks for it; choose)  of the raw logits: logprob[i] = logits[i] - log(sum exp(logits));
//               and, but for Score, the slot's `logprobs` best (ties: lower id first)
//   adjust    (Sample, Logits)  penalties, then bias, then bans (-infinity):
//               seen (prompt or output) and repetition r != 1:   l > 0 ? l / r : l * r
//               output count c > 0:                              l - frequency * c - presence
//   choose    (Sample, choose)  temperature, top-k, typical, top-p, min-p, draw:
//               temperature 0: the largest logit (ties: lowest id). Else p = softmax(l / temperature)
//               top-k: the k largest (0: all)
//               typical (Meister et al. 2022): by ascending |-log p - entropy| until their sum reaches typical_p
//               top-p (Holtzman et al. 2020): by descending p until their sum reaches top_p
//               min-p: those with p >= min_p * max p
//               p is renormalized after each stage; every stage keeps at least one token; ties keep the lower id
//               draw: u in [0, 1) of (seed, place), the kept tokens in ascending id, the first whose running sum exceeds u * total
//
// Place n of stream `seed` is a hash of both alone, so a request's draws do not depend on what else runs, and output token n of a request
// is the same whether it is sampled alone or after others of its row.
//
// A row of n sampled outputs runs n - 1 tokens that were guessed: output i counts only if output i - 1 sampled the token that the row ran
// next; the others give -1. So a guess changes how many tokens a step gives, never which.
// An output whose raw logits hold NaN or +infinity, or none that is finite, gives kNotNumbers in place of a token, whatever its kind, and no
// log-probabilities. So do adjusted or changed logits that hold NaN or +infinity; where they leave none that is finite, the token is -1.
// Cost: at most V exponentials an output.
//
// A draft model guesses with the slot's own state: an output of a Draft row is chosen as that of a Sample row would be, at the place that
// it would have, and becomes the slot's last token, so that the next pass finds it; the slot remembers it. When a step of another kind begins
// for the slot, its state is again what it was before the first of these, and tokens -2, -3, ... of the row are the first, second, ... of them.
// A token that the draft model lacks runs there as token 0.
#include <cstdint>
#include <vector>

#include "ops/memory.h"
#include "ops/step.h"

namespace kvasir {

struct SampleParams {
  double temperature = 1;
  int top_k = 0;
  double top_p = 1;
  double min_p = 0;
  double typical_p = 1;
  double repetition_penalty = 1;
  double presence_penalty = 0;
  double frequency_penalty = 0;
};

struct TokenBias {
  int32_t token;
  float bias;
};

// The twin of SlotConfig in lib/native/addon.ts.
struct SlotConfig {
  SampleParams params;
  std::vector<TokenBias> biases;
  uint64_t seed = 0;
  int min_tokens = 0;
  std::vector<int32_t> end_tokens;  // banned before min_tokens
  int logprobs = -1;                // alternatives to list; -1: no log-probabilities
  std::vector<int32_t> tokens;      // prompt, then output
  int prompt_length = 0;
};

// The largest step, and whose tokens it samples.
struct SlotLimits {
  int slots;
  int vocab;  // V
  StepSizes step;
  int draft_vocab = 0;  // of the draft model: it knows no other tokens, and guesses none that the model lacks
};

// Outputs [first, first + count) of the step, from their logits.
struct Sample {
  const StepInputs* step;
  View logits;  // [count, V] float32; overwritten
  int first;
  int count;
  StepResult* result;  // complete once the step's event was waited for
};

// A token for the slot's Logits row, from logits that a processor changed after `adjust`; the result has one output.
struct Choose {
  int slot;
  std::vector<float> logits;  // [V]
  StepResult* result;
};

class Slots {
 public:
  virtual ~Slots() = default;

  virtual void set(int slot, SlotConfig config) = 0;
  // The step in the back end's memory, each slot's last token in place of -1 (0 where it has none), those that were drafted for it in
  // place of smaller numbers. Valid until the next step begins.
  virtual const StepInputs& begin_step(const Batch& batch) = 0;
  virtual void sample(const Sample& op) = 0;
  // Of a slot that has no logits from a step of its own: result -1.
  virtual void choose(Choose choice) = 0;
};

}  // namespace kvasir
