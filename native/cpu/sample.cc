#include "cpu/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace kvasir::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Place `place` of stream `seed`: the finalizer of SplitMix64 (Steele et al. 2014) over the mixed seed and the place; the upper 53 bits.
uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
double uniform(uint64_t seed, uint64_t place) {
  const uint64_t step = 0x9e3779b97f4a7c15u;
  return static_cast<double>(mix(mix(seed + step) + step * (place + 1)) >> 11) * 0x1p-53;
}

// In this order, by the C library: what is told to callers has the same bits on every instruction set.
double log_sum_exp(std::span<const float> logits, double largest) {
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum);
}

// The `top` largest logits, best first; ties: the lower token first.
void list_top(std::span<const float> logits, double log_sum, SampleRow& row) {
  int count = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const auto better_than = [&](int at) { return logits[i] > logits[row.top_tokens[at]]; };
    if (count == row.top && !better_than(count - 1)) continue;
    int at = count < row.top ? count++ : count - 1;
    for (; at > 0 && better_than(at - 1); --at) row.top_tokens[at] = row.top_tokens[at - 1];
    row.top_tokens[at] = static_cast<int32_t>(i);
  }
  for (int at = 0; at < count; ++at) row.top_logprobs[at] = static_cast<float>(logits[row.top_tokens[at]] - log_sum);
}

float penalized(float logit, const TokenCount& seen, const SampleParams& params) {
  double value = logit;
  if (params.repetition_penalty != 1) value = value > 0 ? value / params.repetition_penalty : value * params.repetition_penalty;
  if (seen.output_count > 0) value -= params.frequency_penalty * seen.output_count + params.presence_penalty;
  return static_cast<float>(value);
}

// Changes the logits in place and notes what they were.
void adjust(SampleRow& row, std::vector<TokenBias>& raw) {
  const auto change = [&](int32_t token, float value) {
    raw.push_back({token, row.logits[token]});
    row.logits[token] = value;
  };
  for (const TokenCount& seen : row.seen) change(seen.token, penalized(row.logits[seen.token], seen, *row.params));
  for (const TokenBias& bias : row.biases) change(bias.token, row.logits[bias.token] + bias.bias);
  for (int32_t token : row.banned) change(token, -kInfinity);
}

// The logit of a token before it was adjusted: its first note, if it has one.
float raw_logit(const SampleRow& row, const std::vector<TokenBias>& raw, int32_t token) {
  for (const TokenBias& note : raw) {
    if (note.token == token) return note.bias;
  }
  return row.logits[token];
}

// The row's log-probabilities. log(sum of exp) of the raw logits.
double tell_logprobs(SampleRow& row, std::span<const float> logits, float largest) {
  const double log_sum = log_sum_exp(logits, largest);
  if (row.log_sum != nullptr) *row.log_sum = log_sum;
  if (row.top > 0) list_top(logits, log_sum, row);
  return log_sum;
}

int32_t choose(const SampleRow& row, std::span<const float> logits, const RowLook& seen, const SamplePasses& passes,
               CandidateMemory& memory) {
  if (!seen.numbers) return kNotNumbers;
  if (seen.largest == -kInfinity) return -1;
  const SampleParams& params = *row.params;
  if (params.temperature == 0) return static_cast<int32_t>(std::find(logits.begin(), logits.end(), seen.largest) - logits.begin());
  Candidates candidates(passes, memory, logits, seen.largest, params.temperature);
  candidates.filter(params);
  return candidates.draw(uniform(row.seed, row.place));
}

}  // namespace

void SampleWorkspace::reserve(int vocab, size_t changes, bool typical) {
  candidates.reserve(vocab, typical);
  raw.reserve(changes);
}

void sample_row(SampleRow& row, int vocab, const SamplePasses& passes, SampleWorkspace& workspace) {
  const std::span<const float> logits(row.logits, static_cast<size_t>(vocab));
  const RowLook seen = passes.look(row.logits, vocab);
  if (!seen.numbers || seen.largest == -kInfinity) {
    *row.token = kNotNumbers;
    return;
  }
  const double log_sum = row.want_logprobs ? tell_logprobs(row, logits, seen.largest) : 0;
  workspace.raw.clear();
  if (row.want_adjust) adjust(row, workspace.raw);
  if (!row.want_choose) return;
  *row.token =
      workspace.raw.empty() ? choose(row, logits, seen, passes, workspace.candidates) : choose_token(row, vocab, passes, workspace);
  if (row.want_logprobs && row.logprob != nullptr && *row.token >= 0) {
    *row.logprob = static_cast<float>(raw_logit(row, workspace.raw, *row.token) - log_sum);
  }
}

int32_t choose_token(const SampleRow& row, int vocab, const SamplePasses& passes, SampleWorkspace& workspace) {
  return choose(row, {row.logits, static_cast<size_t>(vocab)}, passes.look(row.logits, vocab), passes, workspace.candidates);
}

void mark_kept(std::span<const float> logits, const SampleParams& params, const SamplePasses& passes, std::span<uint8_t> kept) {
  const RowLook seen = passes.look(logits.data(), static_cast<int>(logits.size()));
  if (!seen.numbers || seen.largest == -kInfinity) return;
  CandidateMemory memory;
  memory.reserve(static_cast<int>(logits.size()), true);
  Candidates candidates(passes, memory, logits, seen.largest, params.temperature);
  candidates.filter(params);
  candidates.mark(kept);
}

}  // namespace kvasir::cpu
