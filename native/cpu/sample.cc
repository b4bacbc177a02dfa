#include "cpu/sample.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>

namespace kvasir::cpu {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A logit as the stages see it: NaN is -infinity, infinity the largest float.
double value_of(float logit) {
  return std::isnan(logit) ? -kInfinity : std::min(logit, FLT_MAX);
}

// The largest logit as value_of sees it, in 16 running maxima that the compiler keeps in vectors; -infinity where none is finite.
double largest_logit(std::span<const float> logits) {
  float best[16];
  std::fill_n(best, 16, -std::numeric_limits<float>::infinity());
  bool finite = false;
  size_t i = 0;
  for (; i + 16 <= logits.size(); i += 16) {
    for (int lane = 0; lane < 16; ++lane) best[lane] = logits[i + lane] > best[lane] ? logits[i + lane] : best[lane];
  }
  for (; i < logits.size(); ++i) best[0] = logits[i] > best[0] ? logits[i] : best[0];
  const float largest = *std::max_element(best, best + 16);
  if (largest < std::numeric_limits<float>::infinity()) return largest;
  for (float logit : logits) finite |= std::isfinite(logit);
  return finite ? FLT_MAX : -kInfinity;
}

// The first token with the largest logit.
int32_t first_largest(std::span<const float> logits, double largest) {
  int32_t token = 0;
  while (value_of(logits[token]) != largest) ++token;
  return token;
}

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

double total_weight(const std::vector<Candidate>& candidates) {
  double total = 0;
  for (const Candidate& c : candidates) total += c.weight;
  return total;
}

bool before(const Ranked& a, const Ranked& b) {
  return a.key != b.key ? a.key < b.key : a.token < b.token;
}

// The last of those that come first, in the order of `before`, until their sizes sum up to `target`: quickselect by weight, so that nothing
// is sorted. Not empty.
Ranked find_last(std::vector<Ranked>& ranked, double target) {
  size_t first = 0, last = ranked.size();  // the answer lies in [first, last); what is before it sums up to `sum`
  double sum = 0;
  while (last - first > 1) {
    Ranked &low = ranked[first], &middle = ranked[first + (last - first) / 2], &high = ranked[last - 1];
    if (before(middle, low)) std::swap(low, middle);
    if (before(high, middle)) std::swap(high, middle);
    if (before(middle, low)) std::swap(low, middle);
    const Ranked pivot = middle;
    double left = 0;
    const auto split = std::partition(ranked.begin() + first, ranked.begin() + last, [&](const Ranked& r) {
      const bool smaller = before(r, pivot);
      left += smaller ? r.size : 0;
      return smaller;
    });
    const size_t border = static_cast<size_t>(split - ranked.begin());
    if (border > first && sum + left >= target) {
      last = border;
    } else if (sum + left + pivot.size >= target || border + 1 == last) {
      return pivot;
    } else {
      sum += left;
      first = border;
    }
  }
  return ranked[first];
}

// Keeps the candidates of the smallest keys (ties: lower token) until their sizes sum up to `target`, at least one; all if they never do.
template <class Key, class Size>
void keep_smallest(std::vector<Candidate>& candidates, std::vector<Ranked>& ranked, const Key& key, const Size& size, double target) {
  constexpr double kNear = 12;  // most often those within e^12 of the best are enough: few, and only they are ranked
  double smallest = kInfinity;
  for (const Candidate& c : candidates) smallest = std::min(smallest, key(c));
  for (const double limit : {smallest + kNear, kInfinity}) {
    ranked.clear();
    double sum = 0;
    for (const Candidate& c : candidates) {
      if (key(c) > limit) continue;
      ranked.push_back({key(c), size(c), c.token});
      sum += size(c);
    }
    if (sum >= target) break;
  }
  const Ranked last = find_last(ranked, target);
  std::erase_if(candidates, [&](const Candidate& c) { return before(last, {key(c), 0, c.token}); });
}

void keep_top_k(std::vector<Candidate>& candidates, std::vector<Ranked>& ranked, int k) {
  keep_smallest(
      candidates, ranked, [](const Candidate& c) { return -c.score; }, [](const Candidate&) { return 1.0; }, k);
}

void keep_typical(std::vector<Candidate>& candidates, std::vector<Ranked>& ranked, double share) {
  const double total = total_weight(candidates), log_total = std::log(total);
  double entropy = log_total;
  for (const Candidate& c : candidates) {
    if (c.weight > 0) entropy -= c.weight / total * c.score;
  }
  const auto key = [=](const Candidate& c) { return std::abs(log_total - c.score - entropy); };
  keep_smallest(
      candidates, ranked, key, [](const Candidate& c) { return c.weight; }, share * total);
}

void keep_top_p(std::vector<Candidate>& candidates, std::vector<Ranked>& ranked, double share) {
  const auto key = [](const Candidate& c) { return -c.score; };
  keep_smallest(
      candidates, ranked, key, [](const Candidate& c) { return c.weight; }, share * total_weight(candidates));
}

void keep_min_p(std::vector<Candidate>& candidates, double share) {
  double most = 0;
  for (const Candidate& c : candidates) most = std::max(most, c.weight);
  std::erase_if(candidates, [limit = std::min(share, 1.0) * most](const Candidate& c) { return c.weight < limit; });
}

// The candidates that top-k to min-p leave, by token.
void filter(std::span<const float> logits, double largest, const SampleParams& params, SampleWorkspace& workspace) {
  std::vector<Candidate>& candidates = workspace.candidates;
  std::vector<Ranked>& ranked = workspace.ranked;
  candidates.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    candidates.push_back({static_cast<int32_t>(i), (value_of(logits[i]) - largest) / params.temperature, 0});
  }
  if (params.top_k > 0 && static_cast<size_t>(params.top_k) < logits.size()) keep_top_k(candidates, ranked, params.top_k);
  for (Candidate& c : candidates) c.weight = std::exp(c.score);
  if (params.typical_p < 1) keep_typical(candidates, ranked, params.typical_p);
  if (params.top_p < 1) keep_top_p(candidates, ranked, params.top_p);
  if (params.min_p > 0) keep_min_p(candidates, params.min_p);
}

bool filters(const SampleParams& params) {
  return params.top_k > 0 || params.typical_p < 1 || params.top_p < 1 || params.min_p > 0;
}

int32_t draw(const std::vector<Candidate>& candidates, double u) {
  double sum = 0;
  const double target = u * total_weight(candidates);
  for (const Candidate& c : candidates) {
    if ((sum += c.weight) > target) return c.token;
  }
  return candidates.back().token;
}

// The same over the whole vocabulary, without a list of candidates.
int32_t draw_any(std::span<const float> logits, double largest, double temperature, double u, std::vector<double>& weights) {
  double total = 0, sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) total += weights[i] = std::exp((value_of(logits[i]) - largest) / temperature);
  int32_t last = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (weights[i] == 0) continue;
    last = static_cast<int32_t>(i);
    if ((sum += weights[i]) > u * total) break;
  }
  return last;
}

double log_sum_exp(std::span<const float> logits, double largest) {
  double sum = 0;
  for (float logit : logits) sum += std::exp(value_of(logit) - largest);
  return largest + std::log(sum);
}

// The `top` largest logits, best first; ties: the lower token first.
void list_top(std::span<const float> logits, double log_sum, SampleRow& row) {
  int count = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const auto better_than = [&](int at) { return value_of(logits[i]) > value_of(logits[row.top_tokens[at]]); };
    if (count == row.top && !better_than(count - 1)) continue;
    int at = count < row.top ? count++ : count - 1;
    for (; at > 0 && better_than(at - 1); --at) row.top_tokens[at] = row.top_tokens[at - 1];
    row.top_tokens[at] = static_cast<int32_t>(i);
  }
  for (int at = 0; at < count; ++at) row.top_logprobs[at] = static_cast<float>(value_of(logits[row.top_tokens[at]]) - log_sum);
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
  for (int32_t token : row.banned) change(token, -std::numeric_limits<float>::infinity());
}

// The logit of a token before it was adjusted: its first note, if it has one.
float raw_logit(const SampleRow& row, const std::vector<TokenBias>& raw, int32_t token) {
  for (const TokenBias& note : raw) {
    if (note.token == token) return note.bias;
  }
  return row.logits[token];
}

}  // namespace

void SampleWorkspace::reserve(int vocab, size_t changes) {
  candidates.reserve(static_cast<size_t>(vocab));
  ranked.reserve(static_cast<size_t>(vocab));
  weights.resize(static_cast<size_t>(vocab));
  raw.reserve(changes);
}

void sample_row(SampleRow& row, int vocab, SampleWorkspace& workspace) {
  const std::span<const float> logits(row.logits, static_cast<size_t>(vocab));
  double log_sum = 0;
  if (row.want_logprobs) {
    log_sum = log_sum_exp(logits, largest_logit(logits));
    if (row.log_sum != nullptr) *row.log_sum = log_sum;
    if (row.top > 0) list_top(logits, log_sum, row);
  }
  workspace.raw.clear();
  if (row.want_adjust) adjust(row, workspace.raw);
  if (!row.want_choose) return;
  const SampleParams& params = *row.params;
  const double largest = largest_logit(logits);
  if (largest == -kInfinity) {
    *row.token = -1;
  } else if (params.temperature == 0) {
    *row.token = first_largest(logits, largest);
  } else if (filters(params)) {
    filter(logits, largest, params, workspace);
    *row.token = draw(workspace.candidates, uniform(row.seed, row.place));
  } else {
    *row.token = draw_any(logits, largest, params.temperature, uniform(row.seed, row.place), workspace.weights);
  }
  if (row.want_logprobs && row.logprob != nullptr && *row.token >= 0) {
    *row.logprob = static_cast<float>(value_of(raw_logit(row, workspace.raw, *row.token)) - log_sum);
  }
}

void keep_candidates(std::span<const float> logits, const SampleParams& params, SampleWorkspace& workspace) {
  const double largest = largest_logit(logits);
  workspace.candidates.clear();
  if (largest != -kInfinity) filter(logits, largest, params, workspace);
}

}  // namespace kvasir::cpu
