#pragma once
// One step as flat arrays: the C++ twin of StepBuffers in lib/native.ts, where the layout is drawn, with the same names.
#include <cstdint>
#include <map>
#include <vector>

#include "engine/config.h"

namespace kvasir {

enum class RowOutput : int32_t { None = 0, Sample = 1, Logits = 2, Score = 3 };

inline constexpr int kMaxTopLogprobs = 20;

struct Batch {
  int row_count = 0;                 // B
  std::vector<int32_t> slots;        // [B]
  std::vector<int32_t> q_indptr;     // [B + 1]
  std::vector<int32_t> starts;       // [B]
  std::vector<int32_t> tokens;       // [T]; -1: the token that the row's slot sampled last
  std::vector<int32_t> outputs;      // [B] RowOutput
  std::vector<int32_t> next_tokens;  // [B]
  std::vector<int32_t> want_logits;  // [B]
  std::vector<int32_t> kv_indptr;    // [G * (B + 1)]
  std::vector<int32_t> kv_first;     // [G * B]
  std::vector<int32_t> kv_pages;

  int token_count() const { return q_indptr[row_count]; }
};

struct StepResult {
  std::vector<int32_t> sampled;     // [B]
  std::vector<float> logprobs;      // [B]
  std::vector<int32_t> top_tokens;  // [B * kMaxTopLogprobs]
  std::vector<float> top_logprobs;  // [B * kMaxTopLogprobs]
  std::map<int, std::vector<float>> logits;
  std::map<int, std::vector<float>> scores;

  void reset(int row_count);
};

// Throws INVALID_ARGUMENT for a batch that would read or write outside what it owns: sizes, order, ranges of slots, tokens, positions and
// pages, and pages that do not cover the positions that the row reads and writes.
void check(const Batch& batch, const EngineConfig& config);

}  // namespace kvasir
