#pragma once
// Finding a place in an order without sorting, by a team: blocks of threads that share a row of tokens. A Team has
//
//   threads(), thread(), blocks(), block()   its size, and the caller's place
//   sync()                                   of the block
//   barrier()                                of the team; what a block wrote before it, others read by fresh() after it
//   reduce(x, Merge())                       over all threads of the team, in an order that depends on its size alone
//   scan(x), scan_block(x)                   sums over the threads of the team or block: those before the caller's, and all
//   add(bin, x), merge_bins(bins)            into the block's bins, and their sums over the team in place
//   go_alone(), together()                   each block a team of its own, and back
//
// All threads call all of them but add(). Sizes are integers, so that sums are exact and their order means nothing.
#include <cmath>
#include <cstdint>
#include <limits>

#ifdef __CUDACC__
#define KVASIR_TEAM __device__
#define KVASIR_TEAM_CALL __device__ __noinline__  // keeps its registers to itself
#define KVASIR_UNROLL _Pragma("unroll")
#else
#define KVASIR_TEAM
#define KVASIR_TEAM_CALL
#define KVASIR_UNROLL
#endif

namespace kvasir::cuda {

constexpr int kBins = 256;
constexpr int kMostListed = 2048;  // elements that one block goes on with alone

// What a block has of a token.
struct Element {
  float value;
  uint64_t weight;
};

// A block's part of the row, tokens ascending.
struct RowPart {
  float* values;          // [count]
  uint64_t* weights;      // [count]
  const int32_t* tokens;  // [count]; null: first, first + 1, ...
  int first;
  int count;

  KVASIR_TEAM int32_t token(int i) const { return tokens != nullptr ? tokens[i] : first + i; }
  KVASIR_TEAM Element at(int i) const { return {values[i], weights[i]}; }
};

// Elements on their way to one block, or there.
struct Listed {
  int32_t tokens[kMostListed];
  float values[kMostListed];
  uint64_t weights[kMostListed];
};

struct Prefix {
  uint64_t before;
  uint64_t total;
};

// What a find came to: in the order of (key, token) this element is the last whose place is within the target.
struct Last {
  double key;
  int32_t token;
  uint64_t sum;  // of sizes up to it

  KVASIR_TEAM bool keeps(double other_key, int32_t other_token) const { return other_key != key ? other_key < key : other_token <= token; }
};

// The keys that are in play, and how many elements do not come after them.
struct Extent {
  double low;
  double high;
  uint64_t count;
};

struct MergeExtents {
  KVASIR_TEAM static Extent none() { return {INFINITY, -INFINITY, 0}; }
  KVASIR_TEAM Extent operator()(const Extent& a, const Extent& b) const {
    return {fmin(a.low, b.low), fmax(a.high, b.high), a.count + b.count};
  }
};

// The first token, ascending, at which a running sum reached its goal, and that sum.
struct Crossing {
  int64_t token;  // -1: not among the caller's
  uint64_t sum;
};

struct MergeCrossings {
  KVASIR_TEAM static Crossing none() { return {-1, 0}; }
  KVASIR_TEAM Crossing operator()(const Crossing& a, const Crossing& b) const { return a.token > b.token ? a : b; }
};

struct Interval {
  int begin;
  int end;
};

// use(i, load(i)) for every threads()-th of `count` elements from the caller's on; `batch` loads are under way at once.
template <int batch, class Team, class Load, class Use>
KVASIR_TEAM void for_own(const Team& team, int count, const Load& load, const Use& use) {
  for (int begin = team.thread(); begin < count; begin += batch * team.threads()) {
    decltype(load(0)) loaded[batch]{};
    KVASIR_UNROLL
    for (int j = 0; j < batch; ++j) {
      const int i = begin + j * team.threads();
      if (i < count) loaded[j] = load(i);
    }
    KVASIR_UNROLL
    for (int j = 0; j < batch; ++j) {
      const int i = begin + j * team.threads();
      if (i < count) use(i, loaded[j]);
    }
  }
}

template <class Team, class Use>
KVASIR_TEAM void for_elements(const Team& team, const RowPart& part, const Use& use) {
  for_own<4>(
      team, part.count, [&](int i) { return part.at(i); }, use);
}

// The caller's of `count` elements, ascending with the thread.
template <class Team>
KVASIR_TEAM Interval range_of(const Team& team, int count) {
  const int each = (count + team.threads() - 1) / team.threads(), begin = team.thread() * each;
  return {begin < count ? begin : count, begin + each < count ? begin + each : count};
}

// goal(total) is from 1 on. `size` may have been written by any thread of the block.
template <class Team, class Size, class Goal>
KVASIR_TEAM Crossing cross(Team& team, const RowPart& part, const Size& size, const Goal& goal) {
  team.sync();
  const Interval range = range_of(team, part.count);
  uint64_t own = 0;
  for (int i = range.begin; i < range.end; ++i) own += size(part.at(i));
  const Prefix prefix = team.scan(own);
  const uint64_t aim = goal(prefix.total);
  if (aim <= prefix.before || aim > prefix.before + own) return MergeCrossings::none();
  uint64_t sum = prefix.before;
  int i = range.begin;
  while ((sum += size(part.at(i))) < aim) ++i;
  return {part.token(i), sum};
}

// Moves the elements for which `keep` holds, at most kMostListed, to the first block, by token; the others have none left. All blocks are
// then alone.
template <class Team, class Keep>
KVASIR_TEAM void gather(Team& team, RowPart& part, const Keep& keep) {
  team.sync();
  const Interval range = range_of(team, part.count);
  uint64_t own = 0;
  for (int i = range.begin; i < range.end; ++i) own += keep(part.at(i), part.token(i)) ? 1 : 0;
  const Prefix prefix = team.scan(own);
  Listed &sent = team.sent(), &list = team.list();
  uint64_t at = prefix.before;
  for (int i = range.begin; i < range.end; ++i) {
    const Element element = part.at(i);
    if (!keep(element, part.token(i))) continue;
    sent.tokens[at] = part.token(i);
    sent.values[at] = element.value;
    sent.weights[at++] = element.weight;
  }
  team.barrier();
  const int count = team.block() == 0 ? static_cast<int>(prefix.total) : 0;
  for (int i = team.thread(); i < count; i += team.threads()) {
    list.tokens[i] = team.fresh(sent.tokens[i]);
    list.values[i] = team.fresh(sent.values[i]);
    list.weights[i] = team.fresh(sent.weights[i]);
  }
  team.sync();
  part = {list.values, list.weights, list.tokens, 0, count};
  team.go_alone();
}

// The bin of a key in [low, high], low < high: never descending, the first for low, the last for high.
KVASIR_TEAM inline int bin_of(double key, const Extent& play) {
  const int bin = static_cast<int>((key - play.low) / (play.high - play.low) * kBins);
  return bin < kBins ? bin : kBins - 1;
}

// The bin in which sums that begin with `before` reach the target, or the last that has anything; `before` becomes what is before it.
template <class Team>
KVASIR_TEAM int find_bin(Team& team, uint64_t target, uint64_t& before) {
  const uint64_t* bins = team.bins();
  const Interval range = range_of(team, kBins);
  uint64_t own = 0;
  for (int b = range.begin; b < range.end; ++b) own += bins[b];
  const Prefix prefix = team.scan_block(own);
  const uint64_t aim = target - before < prefix.total ? target - before : prefix.total;
  if (aim > prefix.before && aim <= prefix.before + own) {
    uint64_t sum = prefix.before;
    int b = range.begin;
    while (sum + bins[b] < aim) sum += bins[b++];
    team.found() = {b, sum};
  }
  team.sync();
  before += team.found().sum;
  return static_cast<int>(team.found().token);
}

// Sums of sizes by bin, over the team.
template <class Team, class Key, class Size>
KVASIR_TEAM void fill_bins(Team& team, const RowPart& part, const Key& key, const Size& size, const Extent& play) {
  team.sync();
  for (int b = team.thread(); b < kBins; b += team.threads()) team.bins()[b] = 0;
  team.sync();
  for_elements(team, part, [&](int, const Element& element) {
    const uint64_t own = size(element);
    const double k = own > 0 ? key(element) : INFINITY;
    if (k >= play.low && k <= play.high) team.add(team.bins()[bin_of(k, play)], own);
  });
  team.sync();
  team.merge_bins(team.bins());
}

// The keys that fall into the bin.
template <class Team, class Key, class Size>
KVASIR_TEAM Extent keys_of_bin(Team& team, const RowPart& part, const Key& key, const Size& size, const Extent& play, int bin) {
  Extent own = MergeExtents::none();
  for_elements(team, part, [&](int, const Element& element) {
    const double k = size(element) > 0 ? key(element) : INFINITY;
    if (k > play.high) return;
    const int b = k < play.low ? -1 : bin_of(k, play);
    if (b == bin) own = MergeExtents()(own, {k, k, 0});
    own.count += b <= bin ? 1 : 0;
  });
  return team.reduce(own, MergeExtents());
}

// The element at which the sizes, in the order of (key, token), sum up to `target`; the last one if they never do. Elements of size 0 are
// not in play; keys are finite. Each pass splits the keys in play into kBins of equal width and goes on with one bin's; it ends at
// a single key, whose elements are told apart by token. As soon as few come before it or are in play, the first block goes on alone.
template <class Team, class Key, class Size>
KVASIR_TEAM Last find_last(Team& team, RowPart& part, const Key& key, const Size& size, uint64_t target) {
  if (target == 0) target = 1;
  uint64_t before = 0;
  Extent own = MergeExtents::none();
  for_elements(team, part, [&](int, const Element& element) {
    if (size(element) > 0) own = MergeExtents()(own, {key(element), key(element), 1});
  });
  Extent play = team.reduce(own, MergeExtents());
  for (;;) {
    if (team.blocks() > 1 && play.count <= kMostListed) {
      gather(team, part, [&](const Element& e, int32_t) { return size(e) > 0 && key(e) <= play.high; });
    }
    if (!(play.low < play.high)) break;
    fill_bins(team, part, key, size, play);
    play = keys_of_bin(team, part, key, size, play, find_bin(team, target, before));
  }
  const auto tied = [&](const Element& element) { return key(element) == play.low ? size(element) : 0; };
  const auto goal = [&](uint64_t total) { return target - before < total ? target - before : total; };
  const Crossing last = team.reduce(cross(team, part, tied, goal), MergeCrossings());
  return {play.low, static_cast<int32_t>(last.token), before + last.sum};
}

}  // namespace kvasir::cuda
