#pragma once
// sample: from logits to a token, in stages that a row may ask for separately
//
//   logprobs  of the raw logits: logprob[i] = logits[i] - log(sum exp(logits)); the `top` best (ties: lower id first)
//   adjust    in place: penalties, then bias, then bans (-infinity):
//               seen (prompt or output) and repetition r != 1:   l > 0 ? l / r : l * r
//               output count c > 0:                              l - frequency * c - presence
//   choose    temperature, top-k, typical, top-p, min-p, draw:
//               temperature 0: the largest logit (ties: lowest id). Else p = softmax(l / temperature)
//               top-k: the k largest (0: all)
//               typical (Meister et al. 2022): by ascending |-log p - entropy| until their sum reaches typical_p
//               top-p (Holtzman et al. 2020): by descending p until their sum reaches top_p
//               min-p: those with p >= min_p * max p
//               p is renormalized after each stage; every stage keeps at least one token; ties keep the lower id
//               draw: u in [0, 1) of (seed, place), the kept tokens in ascending id, the first whose running sum exceeds u * total
//
//   logits  [V]  float32; all sums and probabilities in float64
//
// Place n of stream `seed` is a hash of both alone, so a request's draws do not depend on what else runs.
// A row without a finite logit yields token -1. Cost: V exponentials a row.
#include <span>

#include "ops/backend.h"

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

// A token that the sequence has seen: in the prompt (output_count 0) or `output_count` times in its output.
struct TokenCount {
  int32_t token;
  int32_t output_count;
};

struct TokenBias {
  int32_t token;
  float bias;
};

struct SampleRow {
  float* logits;  // [V]
  const SampleParams* params;
  // adjust
  std::span<const TokenCount> seen;
  std::span<const TokenBias> biases;
  std::span<const int32_t> banned;
  // choose
  uint64_t seed;
  uint64_t place;
  // Stages to run, in this order.
  bool want_logprobs;
  bool want_adjust;
  bool want_choose;
  int top;  // alternatives of logprobs
  // Results. log_sum lets the log-probability of a token chosen later be told: logits[token] - log_sum, of the raw logits.
  int32_t* token;
  float* logprob;       // of the chosen token, under the raw logits
  int32_t* top_tokens;  // [top]
  float* top_logprobs;  // [top]
  double* log_sum;
};

struct Sample {
  std::span<SampleRow> rows;
  int vocab;  // V
};

}  // namespace kvasir
