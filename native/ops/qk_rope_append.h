#pragma once
// qk_rope_append: what stands between the projections and attention, in one pass over a token's q, k and v
//
//   1. q and k of each head are normed, where there are weights: norm of ops/add_norm.h, with weights of all heads or of each
//   2. q and k are rotated: pairs of the first 2 * pairs dimensions turn by angle = position * frequencies[i]    (Su et al. 2021, RoPE)
//        (a, b) -> (a cos - b sin, a sin + b cos) * scale        pair i is dimensions (i, i + pairs), or (2i, 2i + 1) if interleaved
//   3. q grows with its position: q *= 1 + growth * ln(1 + floor(position / context)), where growth is not 0
//   4. k and v go to the sequence's pages, in the cache's type: the token at position p to place p mod P of the page that holds p
//
//   q               [T, Hq * D]   in place
//   k               [T, Hkv * D]  overwritten; what is in the pages counts
//   v               [T, Hkv * D]
//   q_norm, k_norm  [D]           or none; [heads, D]: a row for each head. The stride tells: 0 or D
//   frequencies     [pairs]       radians per position; 0 pairs: nothing turns
//
// The angle is the float32 product. CPU: its cosine and sine are computed in float64 and rounded; a norm is summed as in add_norm. A device may
// compute cosine and sine in float32, to within 2 ulp, and has an order of its own for a norm, which depends on D alone.
// Bytes: 8 * T * (Hq + 2 Hkv) * D; limited by memory.
#include "ops/add_norm.h"
#include "ops/kv_cache.h"
#include "ops/step.h"

namespace kvasir {

struct Rope {
  View frequencies = {};
  int pairs = 0;
  float scale = 1;
  bool interleaved = false;
};

struct QueryGrowth {
  float growth = 0;
  int context = 1;
};

struct QkRopeAppend {
  const StepInputs* step;
  View q;
  View k;
  View v;
  View q_norm;
  View k_norm;
  Norm norm;
  Rope rope;
  QueryGrowth query_growth = {};
  KvLayer cache;
  int group;  // of the cache: which page tables
  int query_heads;

  void visit(auto&& memory) { memory(step, q, k, v, q_norm, k_norm, rope.frequencies, cache.k, cache.v); }
};

}  // namespace kvasir
