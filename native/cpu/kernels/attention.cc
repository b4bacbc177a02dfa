// attention: see ops/attention.h.
//
// A task is one kv head and up to kQueries of its queries: consecutive tokens of a row times the query heads of the group, so that each key
// and value that is loaded serves them all. Keys come in tiles of 64; a tile's scores, softmax and values are done for up to eight
// queries at a time. A query's sums run over exactly the keys that it sees, in ascending order, whatever stands beside it.
#include "ops/attention.h"

#include "cpu/kernels.h"
#include "cpu/kernels/activation.h"
#include "cpu/kernels/kv.h"
#include "cpu/kernels/rows.h"
#include "cpu/kernels/tiles.h"
#include "cpu/memory.h"

namespace kvasir::cpu::KVASIR_ISA {
namespace {

constexpr int kKeys = 64;                   // of a tile; tiles start at multiples of it
constexpr int kGroups = kKeys / kLanes;     // 16 keys of one page each
constexpr int kQueries = 64;                // of a task, or one token's group if that is larger; 16: the same speed in prefill of 135M
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

// What one worker takes at a time.
struct Queries {
  int row;
  int kv_head;
  int first_token;  // within the step
  int position;     // of first_token
  int count;        // M: query m is token first_token + m / group, head kv_head * group + m % group
  int group;
  int first_key;  // the keys that any query sees
  int last_key;
};

// Where the keys and values of a tile's groups of 16 lie; only groups that some query sees are set.
template <class E>
struct TileKeys {
  const typename E::Element* k[kGroups];
  const typename E::Element* v[kGroups];
};

// The keys of a tile that query m sees: [first, last) from the tile's start, empty if first >= last.
struct KeyRange {
  int first;
  int last;
};

// The first key that a query sees.
KVASIR_INLINE int first_seen(const Attention& op, int position) {
  return op.window > 0 ? most(0, position - op.window + 1) : 0;
}

KVASIR_INLINE KeyRange range_of(const Attention& op, const Queries& queries, int m, int tile_start) {
  const int position = queries.position + m / queries.group;
  const KeyRange range{most(0, first_seen(op, position) - tile_start), least(kKeys, position + 1 - tile_start)};
  return range.first < range.last ? range : KeyRange{0, 0};
}

template <class E>
TileKeys<E> tile_keys(const Attention& op, const Queries& queries, int tile_start) {
  using Element = const typename E::Element;
  const KvLayer& cache = op.cache;
  const PageTables& tables = op.step->tables[op.group];
  const int64_t D = cache.head_size, P = cache.page_size;
  TileKeys<E> keys{};
  for (int group = 0; group < kGroups; ++group) {
    const int key = tile_start + group * kLanes;
    if (key + kLanes <= queries.first_key || key >= queries.last_key) continue;
    const int64_t page = page_of(tables, queries.row, key, P), head = queries.kv_head * D * P;
    keys.k[group] = static_cast<Element*>(cache.k.data) + page * cache.k.stride + head + key % P;
    keys.v[group] = static_cast<Element*>(cache.v.data) + page * cache.v.stride + head + key % P * D;
  }
  return keys;
}

// scores[r][key] of the groups [first, last), capped, -infinity for keys that query r does not see.
template <class E, int R>
void score(const Attention& op, const float* q, const TileKeys<E>& keys, const KeyRange (&ranges)[R], KeyRange groups,
           float (*scores)[kKeys]) {
  const int D = op.cache.head_size, P = op.cache.page_size;
  for (int group = groups.first; group < groups.last; ++group) {
    f32x16 sums[R];
    for (int r = 0; r < R; ++r) sums[r] = zeros();
    const typename E::Element *k = keys.k[group], *v = keys.v[group], *next = group + 1 < groups.last ? keys.k[group + 1] : k;
    for (int d = 0; d < D; ++d, k += P) {
      // Decode meets each key once, cold: its value and the next group's keys are on their way while it is multiplied.
      if constexpr (R <= kColdRows) {
        __builtin_prefetch(v + d * kLanes);
        __builtin_prefetch(next + d * P);
      }
      const f32x16 key = E::load16(k);
      for (int r = 0; r < R; ++r) sums[r] = fma(splat(q[r * D + d]), key, sums[r]);
    }
    for (int r = 0; r < R; ++r) {
      if (op.softcap > 0) sums[r] = soft_cap(sums[r], op.softcap);
      const int first = least(kLanes, most(0, ranges[r].first - group * kLanes)),
                last = least(kLanes, most(0, ranges[r].last - group * kLanes));
      store(scores[r] + group * kLanes, select_range(first, most(first, last), sums[r], splat(kMinusInfinity)));
    }
  }
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

// sums[r][d] = sums[r][d] * rescale[r] + sum of weight[r][key] * v[key][d] over the keys that query r sees, ascending.
template <class E, int R>
void add_values(float* sums, const TileKeys<E>& keys, int D, const KeyRange (&ranges)[R], const float (*weights)[kKeys],
                const float* rescale) {
  KeyRange shared{0, kKeys};  // the keys that all R see
  for (int r = 0; r < R; ++r) shared = {most(shared.first, ranges[r].first), least(shared.last, ranges[r].last)};
  if (shared.first > shared.last) shared.first = shared.last = 0;
  for_vectors(0, D, [&](int64_t d, int lanes) {
    const auto value = [&](int key) { return load_elements<E>(keys.v[key / kLanes] + key % kLanes * int64_t(D) + d, lanes); };
    f32x16 total[R];
    for (int r = 0; r < R; ++r) {
      total[r] = load_lanes(sums + r * D + d, lanes) * splat(rescale[r]);
      const int last = shared.first < shared.last ? shared.first : ranges[r].last;
      for (int key = ranges[r].first; key < last; ++key) total[r] = fma(splat(weights[r][key]), value(key), total[r]);
    }
    for (int key = shared.first; key < shared.last; ++key) {
      const f32x16 v = value(key);
      for (int r = 0; r < R; ++r) total[r] = fma(splat(weights[r][key]), v, total[r]);
    }
    for (int r = 0; r < R; ++r) {
      if (shared.first < shared.last) {
        for (int key = shared.last; key < ranges[r].last; ++key) total[r] = fma(splat(weights[r][key]), value(key), total[r]);
      }
      store_lanes(sums + r * D + d, total[r], lanes);
    }
  });
}

// Queries [m, m + R) over one tile of keys.
template <class E, int R>
void attend_tile(const Attention& op, const Queries& queries, const State& state, const TileKeys<E>& keys, int tile_start, int m) {
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
  score<E, R>(op, state.q + int64_t(m) * D, keys, ranges, groups, scores);
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
  for (int start = queries.first_key / kKeys * kKeys; start < queries.last_key; start += kKeys) {
    const TileKeys<E> keys = tile_keys<E>(op, queries, start);
    for_row_tiles<kTileRows>(queries.count, [&](auto R, int m) { attend_tile<E, R()>(op, queries, state, keys, start, m); });
  }
  finish(op, queries, state);
}

int tokens_per_task(const Attention& op) {
  return most(1, kQueries / (op.query_heads / op.cache.kv_heads));
}

int tokens_of_row(const StepInputs& step, int row) {
  return step.q_indptr[row + 1] - step.q_indptr[row];
}

int tasks_of_row(const StepInputs& step, int row, int tokens) {
  return (tokens_of_row(step, row) + tokens - 1) / tokens;
}

// Those of task `index` in a row-by-row numbering, kv heads innermost; a row's last tokens, which see most keys, come first.
Queries find_queries(const Attention& op, int64_t index) {
  const StepInputs& step = *op.step;
  const int heads = op.cache.kv_heads, tokens = tokens_per_task(op), kv_head = static_cast<int>(index % heads);
  int64_t tile = index / heads;
  int row = 0;
  for (; tile >= tasks_of_row(step, row, tokens); ++row) tile -= tasks_of_row(step, row, tokens);
  const int first = (tasks_of_row(step, row, tokens) - 1 - static_cast<int>(tile)) * tokens;
  const int count = least(tokens, tokens_of_row(step, row) - first);
  const int position = step.starts[row] + first, group = op.query_heads / heads;
  return {row, kv_head, step.q_indptr[row] + first, position, count * group, group, first_seen(op, position), position + count};
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
  float* memory = reinterpret_cast<float*>(context.scratch.reserve(context.threads.count() * floats * sizeof(float)));
  int64_t tasks = 0, work = 0;
  for (int row = 0; row < op.step->rows; ++row) {
    const int64_t count = tokens_of_row(*op.step, row);
    tasks += tasks_of_row(*op.step, row, tokens_per_task(op)) * int64_t(op.cache.kv_heads);
    work += 2 * count * (op.step->starts[row] + count) * op.query_heads * op.cache.head_size;
  }
  const auto attend_task = [&](int64_t task, int worker) { kernel(op, find_queries(op, task), state_at(op, memory + worker * floats)); };
  if (work >= kSerialWork) return context.threads.parallel(tasks, attend_task);
  for (int64_t task = 0; task < tasks; ++task) attend_task(task, 0);
}

}  // namespace kvasir::cpu::KVASIR_ISA
