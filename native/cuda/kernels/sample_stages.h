#pragma once
// The stages of ops/sample.h by a team of blocks, in the arithmetic of cpu/sample.cc: float64 where it has float64, keys and ties as there.
// Weights exp(score) become integers, their sum one of 62 bits (the unit is a power of two), so that running sums are exact.
#include <cfloat>
#include <cstring>

#include "cuda/kernels/sample_select.h"
#include "cuda/kernels/sample_state.h"

namespace kvasir::cuda {

template <class T>
struct Add {
  KVASIR_TEAM static T none() { return 0; }
  KVASIR_TEAM T operator()(T a, T b) const { return a + b; }
};

struct Larger {
  KVASIR_TEAM static double none() { return -INFINITY; }
  KVASIR_TEAM double operator()(double a, double b) const { return fmax(a, b); }
};

// A logit as the stages see it: NaN is -infinity, infinity the largest float, -0 is 0.
KVASIR_TEAM inline float value_of(float logit) {
  return logit != logit ? -INFINITY : fminf(logit, FLT_MAX) + 0.0f;
}

// Bits that are in the order of the values.
KVASIR_TEAM inline uint32_t ordered(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}

KVASIR_TEAM inline float from_ordered(uint32_t order) {
  const uint32_t bits = order >> 31 != 0 ? order & 0x7fffffffu : ~order;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// What logits hold: a finite one; NaN or +infinity.
constexpr uint64_t kHoldFinite = 1, kHoldOthers = 2;
constexpr int kRawHoldings = 2;  // bits further up: of the raw logits, where those that are read were adjusted

KVASIR_TEAM inline uint64_t holding(float logit) {
  return logit >= -FLT_MAX && logit <= FLT_MAX ? kHoldFinite : logit < 0 ? uint64_t(0) : kHoldOthers;
}

// The largest value, the first of its tokens, and what the logits hold.
struct Best {
  uint64_t packed;  // value, then the complement of the token
  uint64_t holds;

  KVASIR_TEAM bool exists() const { return (holds & kHoldFinite) != 0; }
  KVASIR_TEAM bool numbers() const { return (holds & (kHoldOthers | kHoldOthers << kRawHoldings)) == 0; }
  KVASIR_TEAM int32_t token() const { return static_cast<int32_t>(~static_cast<uint32_t>(packed)); }
  KVASIR_TEAM double value() const { return exists() ? from_ordered(static_cast<uint32_t>(packed >> 32)) : -INFINITY; }
};

struct MergeBests {
  KVASIR_TEAM static Best none() { return {0, 0}; }
  KVASIR_TEAM Best operator()(const Best& a, const Best& b) const { return {a.packed > b.packed ? a.packed : b.packed, a.holds | b.holds}; }
};

// Upper half of the product.
KVASIR_TEAM inline uint64_t product_high(uint64_t a, uint64_t b) {
#ifdef __CUDACC__
  return __umul64hi(a, b);
#else
  return static_cast<uint64_t>(static_cast<unsigned __int128>(a) * b >> 64);
#endif
}

// 53 random bits, from the top: place `place` of stream `seed`, as cpu/sample.cc has them.
KVASIR_TEAM inline uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
KVASIR_TEAM inline uint64_t random_bits(uint64_t seed, uint64_t place) {
  const uint64_t step = 0x9e3779b97f4a7c15u;
  return mix(mix(seed + step) + step * (place + 1)) >> 11 << 11;
}

// The caller's part of a row whose values and weights are the team's.
template <class Team>
KVASIR_TEAM RowPart own_part(const Team& team, int vocab) {
  const int each = ((vocab + team.blocks() - 1) / team.blocks() + 31) / 32 * 32, begin = team.block() * each;
  const int first = begin < vocab ? begin : vocab, end = begin + each < vocab ? begin + each : vocab;
  return {team.values() + first, team.weights() + first, nullptr, first, end - first};
}

// Values of logits into the part where they are `kept`; the best of the row. `raw`: what the caller's raw logits hold.
template <class Team>
KVASIR_TEAM Best read_values(Team& team, const RowPart& part, const float* logits, bool kept, uint64_t raw = 0) {
  Best own{0, raw << kRawHoldings};
  const auto load = [&](int i) { return logits[i]; };
  for_own<8>(team, part.count, load, [&](int i, float logit) {
    const float value = value_of(logit);
    if (kept) part.values[i] = value;
    const uint64_t packed = uint64_t(ordered(value)) << 32 | static_cast<uint32_t>(~part.token(i));
    own = MergeBests()(own, {packed, holding(logit)});
  });
  return team.reduce(own, MergeBests());
}

// The `top` best of the values, best first; ties: the lower token first.
template <class Team>
KVASIR_TEAM_CALL void list_top(Team& team, RowPart part, double log_sum, int top, SampledOutput* result) {
  const auto key = [](const Element& element) { return static_cast<double>(~ordered(element.value)); };
  const Last last = find_last(
      team, part, key, [](const Element&) { return uint64_t(1); }, top);
  gather(team, part, [&](const Element& element, int32_t token) { return last.keeps(key(element), token); });
  for (int i = team.thread(); i < part.count; i += team.threads()) {
    const float own = part.values[i];
    int rank = 0;
    for (int j = 0; j < part.count; ++j) rank += part.values[j] > own || (part.values[j] == own && j < i) ? 1 : 0;
    result->top_tokens[rank] = part.tokens[i];
    result->top_logprobs[rank] = static_cast<float>(part.values[i] - log_sum);
  }
  team.together();
}

// log(sum of exp) of the logits, the `top` best go to the result; NaN where they hold NaN or +infinity, or none that is finite.
template <class Team>
KVASIR_TEAM_CALL double log_probabilities(Team& team, const RowPart& part, const float* logits, int top, SampledOutput* result) {
  const Best best = read_values(team, part, logits, true);
  if (!best.exists() || !best.numbers()) return NAN;
  const double largest = best.value();
  double own = 0;
  for_own<4>(
      team, part.count, [&](int i) { return part.values[i]; }, [&](int, float value) { own += exp(value - largest); });
  const double log_sum = largest + log(team.reduce(own, Add<double>()));
  if (top > 0) list_top(team, part, log_sum, top, result);
  return log_sum;
}

KVASIR_TEAM inline float penalized(float logit, int outputs, const SampleParams& params) {
  double value = logit;
  if (params.repetition_penalty != 1) value = value > 0 ? value / params.repetition_penalty : value * params.repetition_penalty;
  if (outputs > 0) value -= params.frequency_penalty * outputs + params.presence_penalty;
  return static_cast<float>(value);
}

// The first bias of a token that is not below `token`.
KVASIR_TEAM inline int first_bias(const SlotState& slot, int32_t token) {
  int low = 0, high = slot.bias_count;
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (slot.biases[middle].token < token) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

KVASIR_TEAM inline bool bans(const SlotState& slot, uint64_t place) {
  return slot.end_count > 0 && place < static_cast<uint64_t>(slot.min_tokens);
}

// Logits after penalties, biases and bans become the part's values. What the caller's of the logits hold.
template <class Team>
KVASIR_TEAM_CALL uint64_t adjust(Team& team, const RowPart& part, const float* logits, const SlotState& slot, uint64_t place) {
  struct Seen {
    float logit;
    int32_t count;
  };
  const auto load = [&](int i) { return Seen{logits[i], slot.counts != nullptr ? slot.counts[part.first + i] : 0}; };
  uint64_t holds = 0;
  for_own<4>(team, part.count, load, [&](int i, const Seen& seen) {
    holds |= holding(seen.logit);
    part.values[i] = seen.count > 0 ? penalized(seen.logit, seen.count - 1, slot.params) : seen.logit;
  });
  team.sync();
  const int begin = first_bias(slot, part.first), end = first_bias(slot, part.first + part.count);
  for (int b = begin + team.thread(); b < end; b += team.threads()) {
    const int32_t token = slot.biases[b].token;
    if (b > begin && slot.biases[b - 1].token == token) continue;
    for (int at = b; at < end && slot.biases[at].token == token; ++at) part.values[token - part.first] += slot.biases[at].bias;
  }
  team.sync();
  for (int e = team.thread(); bans(slot, place) && e < slot.end_count; e += team.threads()) {
    const int at = slot.end_tokens[e] - part.first;
    if (at >= 0 && at < part.count) part.values[at] = -INFINITY;
  }
  team.sync();
  return holds;
}

// Sums over the weights of a part.
struct Masses {
  uint64_t mass;    // of the weights as integers
  double surprise;  // of p * -score
};

struct MergeMasses {
  KVASIR_TEAM static Masses none() { return {0, 0}; }
  KVASIR_TEAM Masses operator()(const Masses& a, const Masses& b) const { return {a.mass + b.mass, a.surprise + b.surprise}; }
};

// The candidates of one row from top-k to min-p. score = (value - largest) / temperature; who is dropped has weight 0.
template <class Team>
class Stages {
 public:
  KVASIR_TEAM Stages(Team& team, RowPart& part, const SampleParams& params, double largest)
      : team_(team), part_(part), params_(params), largest_(largest) {}

  KVASIR_TEAM void run(int vocab) {
    const auto distance = [this](const Element& element) { return fabs(score(element)); };
    Last last{INFINITY, 0x7fffffff, 0};
    if (params_.top_k > 0 && params_.top_k < vocab) {
      const auto finite = [&](const Element& element) { return distance(element) < INFINITY ? uint64_t(1) : uint64_t(0); };
      last = find_last(team_, part_, distance, finite, params_.top_k);
    }
    weigh(last);
    if (params_.typical_p < 1) {
      const double entropy = log_total_ + masses_.surprise;
      keep([&](const Element& element) { return fabs(log_total_ - score(element) - entropy); }, params_.typical_p);
    }
    if (params_.top_p < 1) keep(distance, params_.top_p);
    if (params_.min_p > 0) keep_min_p();
  }

  KVASIR_TEAM Crossing draw(uint64_t bits) const {
    const auto goal = [bits](uint64_t mass) { return product_high(bits, mass) + 1; };
    return cross(team_, part_, weight_of, goal);
  }

 private:
  KVASIR_TEAM double score(const Element& element) const { return (element.value - largest_) / params_.temperature; }
  KVASIR_TEAM static uint64_t weight_of(const Element& element) { return element.weight; }

  // First as float64, whose sum tells the unit; then as integers.
  KVASIR_TEAM void weigh(const Last& last) {
    double own = 0;
    for_elements(team_, part_, [&](int i, const Element& element) {
      const double weight = last.keeps(fabs(score(element)), part_.token(i)) ? exp(score(element)) : 0;
      memcpy(part_.weights + i, &weight, sizeof weight);
      own += weight;
    });
    const double total = team_.reduce(own, Add<double>());
    int exponent;
    frexp(total, &exponent);
    const double unit = ldexp(1.0, 62 - exponent);
    Masses masses = MergeMasses::none();
    for_elements(team_, part_, [&](int i, const Element& element) {
      double weight;
      memcpy(&weight, &element.weight, sizeof weight);
      if (weight > 0) masses.surprise -= weight / total * score(element);
      part_.weights[i] = static_cast<uint64_t>(weight * unit + 0.5);
      masses.mass += part_.weights[i];
    });
    masses_ = team_.reduce(masses, MergeMasses());
    log_total_ = log(total);
  }

  // Those of the smallest keys until their weights sum up to `share` of what there is.
  template <class Key>
  KVASIR_TEAM void keep(const Key& key, double share) {
    const uint64_t target = static_cast<uint64_t>(ceil(share * static_cast<double>(masses_.mass)));
    const Last last = find_last(team_, part_, key, weight_of, target);
    for_elements(team_, part_, [&](int i, const Element& element) {
      if (element.weight > 0 && !last.keeps(key(element), part_.token(i))) part_.weights[i] = 0;
    });
    masses_.mass = last.sum;
  }

  KVASIR_TEAM void keep_min_p() {
    double best = -INFINITY;
    for_elements(team_, part_, [&](int, const Element& element) {
      if (element.weight > 0) best = fmax(best, score(element));
    });
    const double limit = fmin(params_.min_p, 1.0) * exp(team_.reduce(best, Larger()));
    for_elements(team_, part_, [&](int i, const Element& element) {
      if (element.weight > 0 && exp(score(element)) < limit) part_.weights[i] = 0;
    });
  }

  Team& team_;
  RowPart& part_;
  const SampleParams& params_;
  const double largest_;
  double log_total_ = 0;
  Masses masses_{};
};

// The token that the slot's parameters choose; kNotNumbers, or -1 where no logit is finite. The values of the logits become the part's.
// `raw`: what the caller's raw logits hold.
template <class Team>
KVASIR_TEAM_CALL int32_t choose(Team& team, RowPart part, const float* logits, const SlotState& slot, uint64_t place, int vocab,
                                uint64_t raw) {
  const Best best = read_values(team, part, logits, slot.params.temperature != 0, raw);
  if (!best.numbers() || (best.holds & kHoldFinite << kRawHoldings) == 0) return kNotNumbers;
  if (!best.exists()) return -1;
  if (slot.params.temperature == 0) return best.token();
  Stages<Team> stages(team, part, slot.params, best.value());
  stages.run(vocab);
  const Crossing drawn = stages.draw(random_bits(slot.seed, place));
  team.together();
  return static_cast<int32_t>(team.reduce(drawn, MergeCrossings()).token);
}

}  // namespace kvasir::cuda
