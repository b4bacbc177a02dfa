#pragma once
// attention on the tensor cores, for caches of 16 and 8 bits: what all its kernels share: order, states, queries. See ops/attention.h
//
// mma.sync m16n8k16 in the cache's type (E4M3: as float16, on its way from shared memory), float32 sums. The M of a tile are 16 queries of one kv head: the heads of its group, of one token
// or of several of a row. Pages come to shared memory by bulk copies, as they lie in the cache (cores of 8 x 8, cuda/kernels/kv.cuh).
//
// Order: splits of 64 keys with borders at multiples of 64 in absolute positions. What a query sees of a split makes a state of its own
// (largest score, sum of 2^(score - largest), sum of values with these weights); the states are merged ascending, beginning with an empty one.
// A split of which a query sees nothing changes no bit of its state. So a query's bits depend on it and the cache alone, whoever
// computes which split, and whichever queries share a tile.
#include <algorithm>

#include "cuda/kernels/activations.cuh"
#include "cuda/kernels/kv.cuh"
#include "cuda/kernels/mma.cuh"
#include "cuda/kernels/warp.cuh"
#include "ops/attention.h"

namespace kvasir::cuda {

inline constexpr int kQueries = 16;  // of a tile
inline constexpr int kPage = 16;
inline constexpr int kSplitKeys = 64;
inline constexpr int kSplitPages = kSplitKeys / kPage;

// Heads beyond this have too many values for the registers that a state and a part of it would take: the values of a part come some columns at a
// time, and queries lie in shared memory.
inline constexpr int kMostWhole = 128;
template <int D>
inline constexpr int kColumns = D <= kMostWhole ? D
                                : D % 80 == 0   ? 80
                                                : 64;

// Of the queries g (0) and g + 8 (1) of a tile, their largest scores and the sums of their weights.
struct Totals {
  float largest[2];
  float weight[2];
};

// And this lane's share of their values.
template <int D>
struct State : Totals {
  float values[D / 8][4];  // [.. of dimension 8 i + 2 t, + 1] of query g, then of g + 8
};

template <int D>
__device__ inline void clear(State<D>& state) {
  for (int q = 0; q < 2; ++q) state.largest[q] = -INFINITY, state.weight[q] = 0;
#pragma unroll
  for (int i = 0; i < D / 2; ++i) state.values[i / 4][i % 4] = 0;
}

// 2^x in one instruction; queries are scaled by log2(e) more than the op says, so that scores are exponents of 2.
__device__ inline float power_of_two(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
}
inline constexpr float kLog2E = 1.44269504f;

// 1 / x in one instruction, right to the last bit but one.
__device__ inline float reciprocal(float x) {
  float inverse;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(x));
  return inverse;
}

// What the factor of a part is when it joins another: 2^(own - both), 0 for an empty one.
__device__ inline float factor(float own, float both) {
  return own == -INFINITY ? 0.0f : power_of_two(own - both);
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

// The totals of a part join those of a state; the values are still to be merged.
__device__ inline void join(Totals& into, const Totals& part, Factors (&factors)[2]) {
  for (int q = 0; q < 2; ++q) factors[q] = merge_weights(into.largest[q], into.weight[q], part.largest[q], part.weight[q]);
}
// The values of a part's columns from `first` on join those of the state.
template <int D, int eights>
__device__ inline void merge_values(State<D>& into, int first, const float (&part)[eights][4], const Factors (&factors)[2]) {
  float(*values)[4] = into.values + first / 8;
  if (__all_sync(0xffffffffu, factors[0].old == 1 && factors[1].old == 1)) {  // as it mostly is; the bits are the same
#pragma unroll
    for (int i = 0; i < eights * 4; ++i) values[i / 4][i % 4] = fmaf(part[i / 4][i % 4], factors[i % 4 / 2].added, values[i / 4][i % 4]);
    return;
  }
#pragma unroll
  for (int i = 0; i < eights * 4; ++i) values[i / 4][i % 4] = merge_value(values[i / 4][i % 4], part[i / 4][i % 4], factors[i % 4 / 2]);
}

// Heads of a group that are queries of one tile, side by side.
inline int tile_heads(const Attention& op) {
  return std::min(kQueries, op.query_heads / op.cache.kv_heads);
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
struct KeyRange {
  int first;
  int last;
};
__device__ inline KeyRange range_of(const Attention& op, const Tile& tile) {
  return {first_seen(op.window, tile.position), tile.position + (tile.queries - 1) / tile.heads};
}

// Operand A: the queries, scaled.
template <class Element, int D>
__device__ inline void load_queries(const Attention& op, const Tile& tile, int lane, uint32_t (&a)[D / 16][4]) {
  const float scale = op.scale * kLog2E;
  const float* from[2];
  for (int q = 0; q < 2; ++q) {
    const int m = lane / 4 + q * 8;
    from[q] = row_of(op.q, tile.first_token + m / tile.heads) + column_of(op, tile, m, D) + lane % 4 * 2;
    if (m >= tile.queries) from[q] = nullptr;
  }
#pragma unroll
  for (int i = 0; i < D / 4; ++i) {  // register i mod 4 of step i / 4
    const int q = i % 2, d = i / 4 * 16 + i % 4 / 2 * 8;
    const float2 pair = from[q] != nullptr ? *reinterpret_cast<const float2*>(from[q] + d) : float2{};
    a[i / 4][i % 4] = pack(Element(), pair.x * scale, pair.y * scale);
  }
}

}  // namespace kvasir::cuda
