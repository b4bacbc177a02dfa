#include "cpu/candidates.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <limits>

namespace kvasir::cpu {
namespace {

constexpr int kFew = 8192;  // tokens that are ranked one by one
constexpr int kPiece = 512;
constexpr float kNear = 16;  // weights beyond e^-16 of the largest share one bin
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Integers in the order of the floats; both zeros are 0.
int64_t order_of(float value) {
  int32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits >= 0 ? bits : int64_t(INT32_MIN) - bits;
}
float of_order(int64_t order) {
  const int32_t bits = static_cast<int32_t>(order >= 0 ? order : int64_t(INT32_MIN) - order);
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// The least finite logit of a bin up to `bin`.
float edge_of(const Bins& bins, int bin) {
  int64_t low = order_of(-FLT_MAX), high = order_of(bins.largest);
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (bins.of(of_order(middle)) <= bin) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return of_order(low);
}

bool before(const Ranked& a, const Ranked& b) {
  return a.key != b.key ? a.key < b.key : a.place < b.place;
}

// The last of those that come first, in the order of `before`, until their weights sum up to `target`: quickselect by weight, so that
// nothing is sorted. Not empty.
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
      left += smaller ? r.weight : 0;
      return smaller;
    });
    const size_t border = static_cast<size_t>(split - ranked.begin());
    if (border > first && sum + left >= target) {
      last = border;
    } else if (sum + left + pivot.weight >= target || border + 1 == last) {
      return pivot;
    } else {
      sum += left;
      first = border;
    }
  }
  return ranked[first];
}

}  // namespace

void CandidateMemory::reserve(int vocab, bool typical) {
  const size_t V = static_cast<size_t>(vocab), few = std::min<size_t>(V, kFew);
  weights.resize(V);
  pieces.resize((V + kPiece - 1) / kPiece);
  places.resize(few);
  tokens.resize(few);
  few_logits.resize(few);
  few_weights.resize(few);
  nearness.resize(typical ? V : 0);
  ranked.reserve(typical ? V : few);
}

Candidates::Candidates(const SamplePasses& passes, CandidateMemory& memory, std::span<const float> logits, double largest,
                       double temperature)
    : passes_(passes),
      memory_(memory),
      logits_(logits.data()),
      count_(static_cast<int>(logits.size())),
      largest_(largest),
      temperature_(temperature) {}

void Candidates::filter(const SampleParams& params) {
  if (params.top_k > 0 && params.top_k < count_) keep_largest(params.top_k);
  if (params.min_p > 0 && params.typical_p >= 1 && params.top_p >= 1) leave_out_light(params.min_p);
  weigh();
  if (params.typical_p < 1) keep_typical(params.typical_p);
  if (params.top_p < 1) keep_largest(params.top_p * add_up());
  if (params.min_p <= 0) return;
  const double most = params.typical_p < 1 ? *std::max_element(weights_, weights_ + count_) : 1;  // the largest logit weighs 1
  passes_.drop_light(weights_, count_, std::min(params.min_p, 1.0) * most);
}

// Before anything is weighed, what is lighter by a factor of e than min-p keeps.
void Candidates::leave_out_light(double share) {
  const double low = largest_ + temperature_ * (std::log(std::min(share, 1.0)) - 1);
  const int few =
      passes_.list(logits_, count_, static_cast<float>(std::max<double>(low, -FLT_MAX)), kInfinity, memory_.places.data(), kFew);
  if (few <= kFew) keep_listed(few);
}

void Candidates::weigh() {
  if (weights_ != nullptr) return;
  weights_ = tokens_ != nullptr ? memory_.few_weights.data() : memory_.weights.data();
  passes_.weigh(logits_, count_, largest_, temperature_, weights_);
}

// All weights; the pieces' stay for the draw.
double Candidates::add_up() {
  double total = 0;
  for (int first = 0; first < count_; first += kPiece) {
    total += memory_.pieces[first / kPiece] = passes_.sum(weights_ + first, std::min(kPiece, count_ - first));
  }
  return total;
}

// The bin of logits in which the sum of weights reaches the target.
Candidates::Range Candidates::find_range(double target) {
  if (count_ <= kFew) return {-FLT_MAX, kInfinity, 0};
  const double scale = kBins / (kNear * temperature_);
  const Bins bins{static_cast<float>(largest_), static_cast<float>(std::clamp<double>(scale, FLT_MIN, FLT_MAX))};
  std::memset(memory_.bins, 0, sizeof memory_.bins);
  passes_.fill_bins(logits_, weights_, count_, bins, memory_.bins);
  double sum = 0;
  int bin = 0;
  for (; bin < kBins - 1; ++bin) {
    const double own = sum_lanes(memory_.bins[bin]);
    if (own > 0 && sum + own >= target) break;
    sum += own;
  }
  return {edge_of(bins, bin), bin == 0 ? kInfinity : edge_of(bins, bin - 1), sum};
}

// Halves a range of too many logits until they are few, or all alike.
Candidates::Range Candidates::narrow(Range range, double target) const {
  const auto reach = [&](float low) { return low == kInfinity ? Reach{0, 0} : passes_.reach(logits_, weights_, count_, low); };
  int low_count = reach(range.low).count, high_count = reach(range.high).count;
  while (low_count - high_count > kFew) {
    const int64_t low = order_of(range.low), high = order_of(std::min(range.high, FLT_MAX)) + (range.high == kInfinity ? 1 : 0);
    if (high - low == 1) break;
    const float middle = of_order(low + (high - low) / 2);
    const Reach reached = reach(middle);
    if (reached.weight >= target) {
      range.low = middle;
      low_count = reached.count;
    } else {
      range.high = middle;
      range.before = reached.weight;
      high_count = reached.count;
    }
  }
  return range;
}

// The last of those that come first by descending logits until their weights sum up to `target`.
Ranked Candidates::find_largest(double target) {
  const auto list = [&](const Range& range) { return passes_.list(logits_, count_, range.low, range.high, memory_.places.data(), kFew); };
  Range range = find_range(target);
  int listed = list(range);
  if (listed > kFew) listed = list(range = narrow(range, target));
  if (listed > kFew) return find_tied(range, target - range.before);
  memory_.ranked.clear();
  for (int i = 0; i < listed; ++i) {
    const int place = memory_.places[i];
    if (weight(place) > 0) memory_.ranked.push_back({-double(logits_[place]), weight(place), place});
  }
  if (memory_.ranked.empty()) return {-double(range.low), 0, count_};
  return find_last(memory_.ranked, target - range.before);
}

Ranked Candidates::find_tied(const Range& range, double target) const {
  double sum = 0;
  int last = 0;
  for (int place = 0; place < count_ && sum < target; ++place) {
    if (logits_[place] != range.low || weight(place) == 0) continue;
    sum += weight(place);
    last = place;
  }
  return {-double(range.low), 0, last};
}

void Candidates::keep_largest(double target) {
  const Ranked last = find_largest(std::max(target, DBL_MIN));  // at least one
  const float logit = static_cast<float>(-last.key);
  const int few = passes_.list(logits_, count_, logit, kInfinity, memory_.places.data(), kFew);
  if (few > kFew) {
    weigh();
    return passes_.drop_after(logits_, count_, logit, last.place, weights_);
  }
  const auto end = std::remove_if(memory_.places.begin(), memory_.places.begin() + few,
                                  [&](int32_t place) { return logits_[place] == logit && place > last.place; });
  keep_listed(static_cast<int>(end - memory_.places.begin()));
}

// The first `count` of memory_.places become the candidates.
void Candidates::keep_listed(int count) {
  for (int i = 0; i < count; ++i) {
    const int place = memory_.places[i];
    memory_.tokens[i] = token(place);
    memory_.few_logits[i] = logits_[place];
    if (weights_ != nullptr) memory_.few_weights[i] = weights_[place];
  }
  count_ = count;
  tokens_ = memory_.tokens.data();
  logits_ = memory_.few_logits.data();
  if (weights_ != nullptr) weights_ = memory_.few_weights.data();
}

// By the distance of a token's information content from the entropy. The edge is found as that of the largest logits is, by distances
// rounded to float32; the few that share its rounded distance are ranked by the exact one.
void Candidates::keep_typical(double share) {
  const double total = add_up(), log_total = std::log(total);
  const double entropy = log_total - passes_.sum_scores(logits_, weights_, count_, largest_, temperature_) / total;
  float* nearness = memory_.nearness.data();
  passes_.find_nearness(logits_, count_, largest_, temperature_, log_total, entropy, nearness);
  Candidates by_nearness(passes_, memory_, {nearness, static_cast<size_t>(count_)}, 0, 1);
  by_nearness.weights_ = weights_;
  const double target = share * total;
  const float edge = static_cast<float>(-by_nearness.find_largest(std::max(target, DBL_MIN)).key);
  const double nearer = passes_.reach(nearness, weights_, count_, std::nextafter(edge, kInfinity)).weight;
  const auto ranked = [&](int place) {
    const double distance = std::abs(log_total - (logits_[place] - largest_) / temperature_ - entropy);
    return Ranked{distance, weights_[place], place};
  };
  memory_.ranked.clear();
  for (int i = 0; i < count_; ++i) {
    if (nearness[i] == edge && weights_[i] > 0) memory_.ranked.push_back(ranked(i));
  }
  const Ranked last = find_last(memory_.ranked, target - nearer);
  passes_.drop_after(nearness, count_, edge, count_, weights_);
  for (const Ranked& tied : memory_.ranked) {
    if (before(last, tied)) weights_[tied.place] = 0;
  }
}

int32_t Candidates::draw(double u) {
  const double target = u * add_up();
  double sum = 0;
  int piece = 0, last = 0;
  for (; (piece + 1) * kPiece < count_ && sum + memory_.pieces[piece] <= target; ++piece) sum += memory_.pieces[piece];
  for (int i = piece * kPiece; i < count_ && sum <= target; ++i) {
    if (weights_[i] == 0) continue;
    last = i;
    sum += weights_[i];
  }
  return token(last);
}

void Candidates::mark(std::span<uint8_t> kept) const {
  for (int i = 0; i < count_; ++i) {
    if (weights_[i] > 0) kept[token(i)] = 1;
  }
}

}  // namespace kvasir::cpu
