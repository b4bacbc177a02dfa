// attention: see ops/attention.h.
//
// A task (attention_tasks.h) is one kv head and some of its queries, so that each key and value that is loaded serves them all. Keys come
// in tiles of 64; a tile's scores, softmax and values are done for up to eight queries at a time. A query's sums run over exactly the keys
// that it sees, in ascending order, whatever stands beside it.
#include "ops/attention.h"

#include "cpu/kernels.h"
#include "cpu/kernels/activation.h"
#include "cpu/kernels/attention_tasks.h"
#include "cpu/kernels/kv.h"
#include "cpu/kernels/rows.h"
#include "cpu/kernels/tiles.h"
#include "cpu/memory.h"

namespace kvasir::cpu::KVASIR_ISA {
namespace {

constexpr int kKeys = 64;                   // of a tile; tiles start at multiples of it
constexpr int kGroups = kKeys / kLanes;     // 16 keys of one page each
constexpr int kColdRows = 4;                // up to so many query rows at once, keys come from memory rather than from cache
constexpr int64_t kSerialWork = 128 << 10;  // multiply-adds, below: one thread; 4 Mi: 0.95 of the speed in decode of tales at batch 8
constexpr float kMinusInfinity = -__builtin_inff();

// What a worker keeps of its task's queries.
struct State {
  float* q;        // [M, D] times scale
  float* sums;     // [M, D] of values, each times exp(score - largest)
  float* largest;  // [M] score so far
  float* weights;  // [M] sum of exp(score - largest)
};

// Where the keys and values of a tile's groups of 16 lie; only groups that some query sees are set.
template <class E>
struct TileKeys {
  const typename E::Element* k[kGroups];
  const typename E::Element* v[kGroups];

  bool operator==(const TileKeys&) const = default;
};

// [first, last); empty if first >= last.
struct KeyRange {
  int first;
  int last;
};

// The keys of a tile that query m sees, from the tile's start.
KVASIR_INLINE KeyRange range_of(const Attention& op, const Queries& queries, int m, int tile_start) {
  const int position = op.step->positions[queries.first_token + m / queries.group];
  const KeyRange range{most(0, first_seen(op, position) - tile_start), least(kKeys, position + 1 - tile_start)};
  return range.first < range.last ? range : KeyRange{0, 0};
}

// The first query of a row; of the row after the last one: their number.
KVASIR_INLINE int query_of(const Attention& op, const Queries& queries, int row) {
  const int64_t m = int64_t(op.step->q_indptr[row] - queries.first_token) * queries.group;
  return static_cast<int>(least<int64_t>(queries.count, most<int64_t>(0, m)));
}

// The positions of the keys that any query sees, of one of the rows.
KeyRange keys_of(const Attention& op, const Queries& queries, int row) {
  const int32_t* positions = op.step->positions + queries.first_token;
  const int first = query_of(op, queries, row) / queries.group, last = query_of(op, queries, row + 1) / queries.group;
  return first < last ? KeyRange{first_seen(op, positions[first]), positions[last - 1] + 1} : KeyRange{0, 0};
}

template <class E>
TileKeys<E> tile_keys(const Attention& op, const Queries& queries, int row, int tile_start) {
  using Element = const typename E::Element;
  const KvLayer& cache = op.cache;
  const PageTables& tables = op.step->tables[op.group];
  const int64_t D = cache.head_size, P = cache.page_size, head = queries.kv_head * D * P;
  const KeyRange seen = keys_of(op, queries, row);
  const int32_t* page = tables.pages + tables.indptr[row] - tables.first[row] + tile_start / cache.page_size;
  int in_page = tile_start % cache.page_size;  // a division is as slow as many keys
  TileKeys<E> keys{};
  for (int group = 0; group < kGroups; ++group) {
    const int key = tile_start + group * kLanes;
    if (key + kLanes > seen.first && key < seen.last) {
      keys.k[group] = static_cast<Element*>(cache.k.data) + *page * cache.k.stride + head + in_page;
      keys.v[group] = static_cast<Element*>(cache.v.data) + *page * cache.v.stride + head + in_page * D;
    }
    in_page += kLanes;
    if (in_page == cache.page_size) in_page = 0, ++page;
  }
  return keys;
}

// How many vectors of keys, or of a value, R queries take at once: enough chains of sums that none waits for itself.
template <int R>
inline constexpr int kAtOnce = 4 * R <= kTileRows ? 4
                               : R <= 2           ? 2
                                                  : 1;

// scores[r][key] of G groups of keys from `first` on, capped, -infinity for keys that query r does not see.
template <class E, int R, int G>
void score_groups(const Attention& op, const float* q, const TileKeys<E>& keys, const TileKeys<E>& next, const KeyRange (&ranges)[R],
                  int first, float (*scores)[kKeys]) {
  const int64_t D = op.cache.head_size, P = op.cache.page_size;
  f32x16 sums[R][G];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int g = 0; g < G; ++g) sums[r][g] = zeros();
  }
  const typename E::Element* later[G];
#pragma GCC unroll 8
  for (int g = 0; g < G; ++g) {
    later[g] = first + G + g < kGroups ? keys.k[first + G + g] : next.k[first + G + g - kGroups];
    if (later[g] == nullptr) later[g] = keys.k[first + g];
  }
  for (int64_t d = 0; d < D; ++d) {
    f32x16 key[G];
#pragma GCC unroll 8
    for (int g = 0; g < G; ++g) {
      // Decode meets each key once, cold: its value and later keys are on their way while it is multiplied.
      if constexpr (R <= kColdRows) {
        __builtin_prefetch(keys.v[first + g] + d * kLanes);
        __builtin_prefetch(later[g] + d * P);
      }
      key[g] = E::load16(keys.k[first + g] + d * P);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int g = 0; g < G; ++g) sums[r][g] = fma(splat(q[r * D + d]), key[g], sums[r][g]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int g = 0; g < G; ++g) {
      const int key = (first + g) * kLanes;
      if (op.softcap > 0) sums[r][g] = soft_cap(sums[r][g], op.softcap);
      const int begin = least(kLanes, most(0, ranges[r].first - key)), end = least(kLanes, most(0, ranges[r].last - key));
      store(scores[r] + key, select_range(begin, most(begin, end), sums[r][g], splat(kMinusInfinity)));
    }
  }
}

// The same of the groups [first, last).
template <class E, int R>
void score(const Attention& op, const float* q, const TileKeys<E>& keys, const TileKeys<E>& next, const KeyRange (&ranges)[R],
           KeyRange groups, float (*scores)[kKeys]) {
  constexpr int G = kAtOnce<R>;
  int group = groups.first;
  for (; group + G <= groups.last; group += G) score_groups<E, R, G>(op, q, keys, next, ranges, group, scores);
  for (; group < groups.last; ++group) score_groups<E, R, 1>(op, q, keys, next, ranges, group, scores);
}

// Scores become exp(score - largest); returns in `rescale` what earlier sums are to be multiplied with.
template <int R>
void soften(const State& state, int m, const KeyRange (&ranges)[R], KeyRange groups, float (*scores)[kKeys], float (&rescale)[kLanes]) {
  for (int r = 0; r < R; ++r) {
    f32x16 highest = splat(state.largest[m + r]);
    for (int group = groups.first; group < groups.last; ++group) highest = max(highest, load(scores[r] + group * kLanes));
    const float before = state.largest[m + r];
    if (ranges[r].first < ranges[r].last) state.largest[m + r] = largest(highest);
    rescale[r] = before == state.largest[m + r] ? 0 : before - state.largest[m + r];
  }
  store(rescale, exp(load(rescale)));
  for (int r = 0; r < R; ++r) {
    if (ranges[r].first == ranges[r].last) continue;
    f32x16 total = zeros();
    for (int group = groups.first; group < groups.last; ++group) {
      float* place = scores[r] + group * kLanes;
      const f32x16 weight = exp(load(place) - splat(state.largest[m + r]));
      store(place, weight);
      total = total + weight;
    }
    state.weights[m + r] = state.weights[m + r] * rescale[r] + sum(total);
  }
}

// sums[d] = sums[d] * rescale + sum of weights[key] * v[key][d] over the keys [first, last), ascending.
template <class E>
__attribute__((noinline)) void add_keys(float* sums, const TileKeys<E>& keys, int D, KeyRange range, const float* weights, float rescale) {
  for_vectors(0, D, [&](int64_t d, int lanes) {
    f32x16 total = load_lanes(sums + d, lanes) * splat(rescale);
    for (int key = range.first; key < range.last; ++key) {
      const f32x16 v = load_elements<E>(keys.v[key / kLanes] + key % kLanes * int64_t(D) + d, lanes);
      total = fma(splat(weights[key]), v, total);
    }
    store_lanes(sums + d, total, lanes);
  });
}

// The same of R queries, and of G vectors from element d on, or of the first `lanes` of one.
template <class E, int R, int G>
KVASIR_INLINE void add_vectors(float* sums, const TileKeys<E>& keys, int D, int64_t d, int lanes, KeyRange range,
                               const float (*weights)[kKeys], const float* rescale) {
  f32x16 total[R][G];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int g = 0; g < G; ++g) total[r][g] = load_lanes(sums + r * D + d + g * kLanes, lanes) * splat(rescale[r]);
  }
  for (int key = range.first; key < range.last; ++key) {
    f32x16 v[G];
#pragma GCC unroll 8
    for (int g = 0; g < G; ++g) v[g] = load_elements<E>(keys.v[key / kLanes] + key % kLanes * int64_t(D) + d + g * kLanes, lanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int g = 0; g < G; ++g) total[r][g] = fma(splat(weights[r][key]), v[g], total[r][g]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int g = 0; g < G; ++g) store_lanes(sums + r * D + d + g * kLanes, total[r][g], lanes);
  }
}

// The same of all elements, over the keys that each query sees: those before and behind what all see by themselves.
template <class E, int R>
void add_values(float* sums, const TileKeys<E>& keys, int D, const KeyRange (&ranges)[R], const float (*weights)[kKeys],
                float (&rescale)[kLanes]) {
  constexpr int G = kAtOnce<R>;
  KeyRange shared{0, kKeys};
  for (int r = 0; r < R; ++r) shared = {most(shared.first, ranges[r].first), least(shared.last, ranges[r].last)};
  if (shared.first >= shared.last) {
    for (int r = 0; r < R; ++r) add_keys<E>(sums + r * D, keys, D, ranges[r], weights[r], rescale[r]);
    return;
  }
  for (int r = 0; r < R; ++r) {
    if (ranges[r].first == shared.first) continue;
    add_keys<E>(sums + r * D, keys, D, {ranges[r].first, shared.first}, weights[r], rescale[r]);
    rescale[r] = 1;
  }
  int64_t d = 0;
  for (; d + G * kLanes <= D; d += G * kLanes) add_vectors<E, R, G>(sums, keys, D, d, kLanes, shared, weights, rescale);
  for_vectors(d, D, [&](int64_t at, int lanes) { add_vectors<E, R, 1>(sums, keys, D, at, lanes, shared, weights, rescale); });
  for (int r = 0; r < R; ++r) {
    if (shared.last < ranges[r].last) add_keys<E>(sums + r * D, keys, D, {shared.last, ranges[r].last}, weights[r], 1);
  }
}

// Queries [m, m + R) over one tile of keys.
template <class E, int R>
void attend_tile(const Attention& op, const Queries& queries, const State& state, const TileKeys<E>& keys, const TileKeys<E>& next,
                 int tile_start, int m) {
  const int D = op.cache.head_size;
  alignas(64) float scores[R][kKeys];
  alignas(64) float rescale[kLanes] = {};
  KeyRange ranges[R], seen{kKeys, 0};
  for (int r = 0; r < R; ++r) {
    ranges[r] = range_of(op, queries, m + r, tile_start);
    if (ranges[r].first < ranges[r].last) seen = {least(seen.first, ranges[r].first), most(seen.last, ranges[r].last)};
  }
  if (seen.first >= seen.last) return;
  const KeyRange groups{seen.first / kLanes, (seen.last + kLanes - 1) / kLanes};
  score<E, R>(op, state.q + int64_t(m) * D, keys, next, ranges, groups, scores);
  soften<R>(state, m, ranges, groups, scores, rescale);
  add_values<E, R>(state.sums + int64_t(m) * D, keys, D, ranges, scores, rescale);
}

// Query m's head in q or out.
float* head_of(const Attention& op, const View& heads, const Queries& queries, int m) {
  const int64_t head = queries.kv_head * queries.group + m % queries.group;
  return row_of(heads, queries.first_token + m / queries.group) + head * op.cache.head_size;
}

void begin(const Attention& op, const Queries& queries, const State& state) {
  const int D = op.cache.head_size;
  for (int m = 0; m < queries.count; ++m) {
    const float* q = head_of(op, op.q, queries, m);
    for_vectors(0, D, [&](int64_t d, int lanes) {
      store_lanes(state.q + int64_t(m) * D + d, load_lanes(q + d, lanes) * splat(op.scale), lanes);
      store_lanes(state.sums + int64_t(m) * D + d, zeros(), lanes);
    });
    state.largest[m] = kMinusInfinity;
    state.weights[m] = 0;
  }
}

void finish(const Attention& op, const Queries& queries, const State& state) {
  const int D = op.cache.head_size;
  for (int m = 0; m < queries.count; ++m) {
    float* out = head_of(op, op.out, queries, m);
    for_vectors(0, D, [&](int64_t d, int lanes) {
      store_lanes(out + d, load_lanes(state.sums + int64_t(m) * D + d, lanes) / splat(state.weights[m]), lanes);
    });
  }
}

template <class E>
void attend(const Attention& op, const Queries& queries, const State& state) {
  begin(op, queries, state);
  KeyRange seen = keys_of(op, queries, queries.row);
  for (int row = queries.row + 1; row < queries.end_row; ++row) {
    const KeyRange keys = keys_of(op, queries, row);
    seen = {least(seen.first, keys.first), most(seen.last, keys.last)};
  }
  int start = seen.first / kKeys * kKeys;
  for (TileKeys<E> of_first = tile_keys<E>(op, queries, queries.row, start); start < seen.last; start += kKeys) {
    TileKeys<E> keys = of_first;
    for (int row = queries.row; row < queries.end_row;) {
      const int first = query_of(op, queries, row);
      const TileKeys<E> shared = keys, next = tile_keys<E>(op, queries, row, start + kKeys);
      if (row == queries.row) of_first = next;
      while (++row < queries.end_row && (keys = tile_keys<E>(op, queries, row, start)) == shared) {
      }
      for_row_tiles<kTileRows>(query_of(op, queries, row) - first,
                               [&](auto R, int m) { attend_tile<E, R()>(op, queries, state, shared, next, start, first + m); });
    }
  }
  finish(op, queries, state);
}

// Scratch of one worker, in floats, rounded to cache lines.
int64_t state_floats(const Attention& op) {
  const int64_t M = most(kQueries, op.query_heads / op.cache.kv_heads);
  return (M * (2 * op.cache.head_size + 2) + 15) / 16 * 16;
}

State state_at(const Attention& op, float* memory) {
  const int64_t M = most(kQueries, op.query_heads / op.cache.kv_heads), D = op.cache.head_size;
  return {memory, memory + M * D, memory + 2 * M * D, memory + 2 * M * D + M};
}

}  // namespace

void run(const Attention& op, Context context) {
  const auto kernel = with_element(op.cache.k.type, [](auto element) { return &attend<decltype(element)>; });
  const int64_t floats = state_floats(op);
  const int threads = context.threads.count();
  uint8_t* scratch = context.scratch.reserve(threads * floats * sizeof(float) + op.step->rows * sizeof(Rows));
  float* states = reinterpret_cast<float*>(scratch);
  const Tasks tasks(op, threads, reinterpret_cast<Rows*>(states + threads * floats));
  int64_t work = 0;
  for (int row = 0; row < op.step->rows; ++row) {
    const int64_t count = op.step->q_indptr[row + 1] - op.step->q_indptr[row];
    work += 2 * count * (op.step->starts[row] + count) * op.query_heads * op.cache.head_size;
  }
  const auto attend_task = [&](int64_t task, int worker) { kernel(op, tasks.queries(task), state_at(op, states + worker * floats)); };
  if (work >= kSerialWork) return context.threads.parallel(tasks.count(), attend_task);
  for (int64_t task = 0; task < tasks.count(); ++task) attend_task(task, 0);
}

}  // namespace kvasir::cpu::KVASIR_ISA
