#pragma once
// attention on the tensor cores, for caches of 16 bits: what the kernels for few and for many tokens of a row share. See ops/attention.h
//
// mma.sync m16n8k16 in the cache's type, float32 sums. The M of a tile are 16 queries of one kv head: the heads of its group, of one token
// or of several of a row. Pages come to shared memory by bulk copies, as they lie in the cache (cores of 8 x 8, cuda/kernels/kv.cuh).
//
// Order: splits of 64 keys with borders at multiples of 64 in absolute positions. What a query sees of a split makes a state of its own
// (largest score, sum of exp(score - largest), sum of values with these weights); the states are merged ascending, beginning with an empty one.
// A split of which a query sees nothing changes no bit of its state. So a query's bits depend on it and the cache alone, whoever
// computes which split, and whichever queries share a tile.
#include "cuda/kernels/activations.cuh"
#include "cuda/kernels/barrier.cuh"
#include "cuda/kernels/kv.cuh"
#include "cuda/kernels/mma.cuh"
#include "cuda/kernels/warp.cuh"
#include "ops/attention.h"

namespace kvasir::cuda {

inline constexpr int kQueries = 16;  // of a tile
inline constexpr int kPage = 16;
inline constexpr int kSplitKeys = 64;
inline constexpr int kSplitPages = kSplitKeys / kPage;

// Of the queries g (0) and g + 8 (1) of a tile, this lane's share.
template <int D>
struct State {
  float largest[2];
  float weight[2];
  float values[D / 8][4];  // [.. of dimension 8 i + 2 t, + 1] of query g, then of g + 8
};

template <int D>
__device__ inline void clear(State<D>& state) {
  for (int q = 0; q < 2; ++q) state.largest[q] = -INFINITY, state.weight[q] = 0;
#pragma unroll
  for (int i = 0; i < D / 2; ++i) state.values[i / 4][i % 4] = 0;
}

// What the factor of a part is when it joins another: e^(own - both), 0 for an empty one.
__device__ inline float factor(float own, float both) {
  return own == -INFINITY ? 0.0f : expf(own - both);
}

// Factors of a state and of a part that joins it, whose largest scores and weights are merged.
struct Factors {
  float old, added;
};
__device__ inline Factors merge_weights(float& largest, float& weight, float part_largest, float part_weight) {
  const float both = fmaxf(largest, part_largest);
  const Factors factors{factor(largest, both), factor(part_largest, both)};
  weight = fmaf(part_weight, factors.added, weight * factors.old);
  largest = both;
  return factors;
}
__device__ inline float merge_value(float value, float part, Factors factors) {
  return fmaf(part, factors.added, value * factors.old);
}

template <int D>
__device__ inline void merge(State<D>& into, const State<D>& part) {
  Factors factors[2];
  for (int q = 0; q < 2; ++q) factors[q] = merge_weights(into.largest[q], into.weight[q], part.largest[q], part.weight[q]);
#pragma unroll
  for (int i = 0; i < D / 2; ++i) {
    into.values[i / 4][i % 4] = merge_value(into.values[i / 4][i % 4], part.values[i / 4][i % 4], factors[i % 4 / 2]);
  }
}

// 16 queries of one row and kv head: query m is token first_token + m / heads, head kv_head * group + first_head + m % heads.
struct Tile {
  int row;
  int kv_head;
  int first_token;
  int first_head;  // within the group
  int heads;       // of each of the tile's tokens
  int queries;     // those that are there
  int position;    // of first_token
};

__device__ inline int position_of(const Tile& tile, int m) {
  return m < tile.queries ? tile.position + m / tile.heads : -1;
}

// The column of out, or q, where a query's head begins.
__device__ inline int64_t column_of(const Attention& op, const Tile& tile, int m, int D) {
  return int64_t(tile.kv_head * (op.query_heads / op.cache.kv_heads) + tile.first_head + m % tile.heads) * D;
}

// The keys that some query of the tile sees.
struct Range {
  int first;
  int last;
};
__device__ inline Range range_of(const Attention& op, const Tile& tile) {
  return {first_seen(op.window, tile.position), tile.position + (tile.queries - 1) / tile.heads};
}

// Operand A: the queries, scaled.
template <class Element, int D>
__device__ inline void load_queries(const Attention& op, const Tile& tile, int lane, uint32_t (&a)[D / 16][4]) {
  const int g = lane / 4, t = lane % 4;
#pragma unroll
  for (int step = 0; step < D / 16; ++step) {
    for (int reg = 0; reg < 4; ++reg) {
      const int m = g + reg % 2 * 8, d = step * 16 + t * 2 + reg / 2 * 8;
      float2 q = {};
      if (m < tile.queries) {
        q = *reinterpret_cast<const float2*>(row_of(op.q, tile.first_token + m / tile.heads) + column_of(op, tile, m, D) + d);
      }
      a[step][reg] = pack(Element(), q.x * op.scale, q.y * op.scale);
    }
  }
}

// A head's keys and values of a split, in shared memory, and the barriers at which they arrive.
template <class Element, int D>
struct Split {
  Element k[kSplitPages][kPage * D];
  Element v[kSplitPages][kPage * D];
};
struct Arrival {
  uint64_t k, v;

  __device__ void init() {
    init_barrier(&k, 1);
    init_barrier(&v, 1);
  }
};

// Begins the copies of a split's pages that have keys of the range. By a whole warp.
template <class Element, int D>
__device__ inline void fetch_split(const Attention& op, const PageTables& tables, int row, int kv_head, int split, Range range,
                                   Split<Element, D>& to, Arrival& arrival) {
  const int lane = threadIdx.x % kWarp, page = lane % kSplitPages, key = split * kSplitKeys + page * kPage;
  const bool wanted = lane < kSplitPages && key <= range.last && key + kPage > range.first;
  const uint32_t bytes = __popc(__ballot_sync(0xffffffffu, wanted)) * sizeof to.k[0];
  if (lane == 0) {
    expect_bytes(&arrival.k, bytes);
    expect_bytes(&arrival.v, bytes);
  }
  if (!wanted) return;
  const int64_t where = page_of(tables, row, key, kPage);
  copy_bulk(to.k[page], head_of<Element>(op.cache.k, op.cache, where, kv_head), sizeof to.k[0], &arrival.k);
  copy_bulk(to.v[page], head_of<Element>(op.cache.v, op.cache, where, kv_head), sizeof to.v[0], &arrival.v);
}

// Scores of all queries with the split's keys: [2 page + half][..] of the keys 16 page + 8 half + 2 t, + 1.
using Scores = float[kSplitKeys / 8][4];

template <class Element, int D>
__device__ inline void score(const uint32_t (&queries)[D / 16][4], const Split<Element, D>& split, int start, Range range, int lane,
                             Scores& scores) {
#pragma unroll
  for (int i = 0; i < kSplitKeys / 8; ++i) {
    for (float& value : scores[i]) value = 0;
    const int key = start + i / 2 * kPage;
    if (key > range.last || key + kPage <= range.first) continue;
    const Element* row = split.k[i / 2] + i % 2 * 8 * D + lane / 8 * 64 + lane % 8 * 8;
#pragma unroll
    for (int step = 0; step < D / 16; step += 2) {
      const uint4 cores = load_cores(row + step * 2 * 64);
      mma(Element(), scores[i], queries[step], cores.x, cores.y);
      mma(Element(), scores[i], queries[step + 1], cores.z, cores.w);
    }
  }
}

// Scores to weights, with the state's largest and sum; what a query doesn't see weighs 0.
template <int D>
__device__ inline void weigh(const Attention& op, const Tile& tile, int start, int lane, Scores& scores, State<D>& state) {
  const int g = lane / 4, t = lane % 4;
  const int position[2] = {position_of(tile, g), position_of(tile, g + 8)};
  const int begin[2] = {first_seen(op.window, position[0]), first_seen(op.window, position[1])};
  float largest[2] = {-INFINITY, -INFINITY}, sums[2] = {};
#pragma unroll
  for (int i = 0; i < kSplitKeys / 8; ++i) {
    for (int j = 0; j < 4; ++j) {
      const int key = start + i * 8 + t * 2 + j % 2, q = j / 2;
      if (key > position[q] || key < begin[q]) scores[i][j] = -INFINITY;
      largest[q] = fmaxf(largest[q], scores[i][j]);
    }
  }
  for (int q = 0; q < 2; ++q) {  // of the four lanes of a query
    largest[q] = fmaxf(largest[q], __shfl_xor_sync(0xffffffffu, largest[q], 1));
    largest[q] = fmaxf(largest[q], __shfl_xor_sync(0xffffffffu, largest[q], 2));
  }
#pragma unroll
  for (int i = 0; i < kSplitKeys / 8; ++i) {
    for (int j = 0; j < 4; ++j) {
      scores[i][j] = scores[i][j] == -INFINITY ? 0.0f : expf(scores[i][j] - largest[j / 2]);
      sums[j / 2] += scores[i][j];
    }
  }
  for (int q = 0; q < 2; ++q) {
    sums[q] += __shfl_xor_sync(0xffffffffu, sums[q], 1);
    sums[q] += __shfl_xor_sync(0xffffffffu, sums[q], 2);
    state.largest[q] = largest[q];
    state.weight[q] = sums[q];
  }
}

// Places that no token has written yet may hold anything, and 0 * NaN is not 0: of the keys 2 t and 2 t + 1, those from `written` on become 0.
__device__ inline uint32_t keep_written(uint32_t pair, int first, int written) {
  return first + 1 < written ? pair : first < written ? pair & 0xffffu : 0u;
}

template <class Element, int D>
__device__ inline void add_values(const Scores& weights, const Split<Element, D>& split, int start, Range range, int lane,
                                  State<D>& state) {
#pragma unroll
  for (int i = 0; i < D / 2; ++i) state.values[i / 4][i % 4] = 0;
#pragma unroll
  for (int page = 0; page < kSplitPages; ++page) {
    const int key = start + page * kPage, written = range.last - key + 1, t = lane % 4;
    if (written <= 0 || key + kPage <= range.first) continue;
    const float(&low)[4] = weights[2 * page], (&high)[4] = weights[2 * page + 1];
    const uint32_t a[4] = {pack(Element(), low[0], low[1]), pack(Element(), low[2], low[3]), pack(Element(), high[0], high[1]),
                           pack(Element(), high[2], high[3])};
    const Element* row = split.v[page] + lane / 8 % 2 * 8 * D + lane / 16 * 64 + lane % 8 * 8;
#pragma unroll
    for (int i = 0; i < D / 8; i += 2) {
      uint4 cores = load_cores(row + i * 64);
      if (written < kPage) {
        cores.x = keep_written(cores.x, 2 * t, written), cores.y = keep_written(cores.y, 8 + 2 * t, written);
        cores.z = keep_written(cores.z, 2 * t, written), cores.w = keep_written(cores.w, 8 + 2 * t, written);
      }
      mma(Element(), state.values[i], a, cores.x, cores.y);
      mma(Element(), state.values[i + 1], a, cores.z, cores.w);
    }
  }
}

// The state of a split. `range`: the keys that were fetched.
template <class Element, int D>
__device__ inline void attend_split(const Attention& op, const Tile& tile, const uint32_t (&queries)[D / 16][4],
                                    const Split<Element, D>& memory, Arrival& arrival, int parity, int split, Range range, int lane,
                                    State<D>& state) {
  Scores scores;
  wait(&arrival.k, parity);
  score<Element, D>(queries, memory, split * kSplitKeys, range, lane, scores);
  weigh<D>(op, tile, split * kSplitKeys, lane, scores, state);
  wait(&arrival.v, parity);
  add_values<Element, D>(scores, memory, split * kSplitKeys, range, lane, state);
}

}  // namespace kvasir::cuda
