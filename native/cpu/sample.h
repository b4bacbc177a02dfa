#pragma once
// The stages of ops/sample.h for rows of logits, in float64. Compiled once; rows run in parallel.
#include <span>
#include <vector>

#include "ops/sample.h"

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
  int32_t* token;
  float* logprob;       // of the chosen token, under the raw logits
  int32_t* top_tokens;  // [top]
  float* top_logprobs;  // [top]
  double* log_sum;
};

// A token that may still be drawn. score = (logit - largest logit) / temperature; weight = exp(score).
struct Candidate {
  int32_t token;
  double score;
  double weight;
};

// A candidate while a stage ranks it: by key, ties by token.
struct Ranked {
  double key;
  double size;
  int32_t token;
};

// What a worker needs for one row.
struct SampleWorkspace {
  std::vector<Candidate> candidates;  // capacity V
  std::vector<Ranked> ranked;         // capacity V
  std::vector<double> weights;        // [V]
  std::vector<TokenBias> raw;         // logits before they were adjusted, in order of change

  // For rows of `vocab` logits of which at most `changes` are adjusted: what follows then allocates nothing.
  void reserve(int vocab, size_t changes);
};

void sample_row(SampleRow& row, int vocab, SampleWorkspace& workspace);

// The candidates that the stages from top-k to min-p leave, by token; none where no logit is finite. temperature > 0.
void keep_candidates(std::span<const float> logits, const SampleParams& params, SampleWorkspace& workspace);

}  // namespace kvasir::cpu
