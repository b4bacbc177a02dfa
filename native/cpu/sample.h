#pragma once
// The stages of ops/sample.h for rows of logits. Rows run in parallel.
#include <span>
#include <vector>

#include "cpu/candidates.h"

namespace kvasir::cpu {

// A token that the sequence has seen: in the prompt (output_count 0) or `output_count` times in its output.
struct TokenCount {
  int32_t token;
  int32_t output_count;
};

// One row: what it asks for, and where the results go.
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
  int32_t* token;       // see choose_token; kNotNumbers, too, where no raw logit is finite
  float* logprob;       // of the chosen token, under the raw logits
  int32_t* top_tokens;  // [top]
  float* top_logprobs;  // [top]
  double* log_sum;
};

// What a worker needs for one row.
struct SampleWorkspace {
  CandidateMemory candidates;
  std::vector<TokenBias> raw;  // logits before they were adjusted, in order of change

  // For rows of `vocab` logits of which at most `changes` are adjusted: what follows then allocates nothing.
  void reserve(int vocab, size_t changes, bool typical);
};

void sample_row(SampleRow& row, int vocab, const SamplePasses& passes, SampleWorkspace& workspace);

// From the row's logits as they are, by its parameters: kNotNumbers where they hold NaN or +infinity, -1 where none is finite.
int32_t choose_token(const SampleRow& row, int vocab, const SamplePasses& passes, SampleWorkspace& workspace);

// 1 for each token [V] that the stages from top-k to min-p leave; none where the logits are no numbers or none is finite. temperature > 0.
void mark_kept(std::span<const float> logits, const SampleParams& params, const SamplePasses& passes, std::span<uint8_t> kept);

}  // namespace kvasir::cpu
