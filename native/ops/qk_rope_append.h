#pragma once
// qk_rope_append: what stands between the projections and attention, in one pass over a token's q, k and v
//
//   1. q and k of each head are normed, where there are weights: norm(a, w)[i] = a[i] / sqrt(mean_i(a[i]^2) + epsilon) * w[i]
//   2. q and k are rotated: pairs of the first 2 * pairs dimensions turn by angle = position * frequencies[i]    (Su et al. 2021, RoPE)
//        (a, b) -> (a cos - b sin, a sin + b cos) * scale        pair i is dimensions (i, i + pairs), or (2i, 2i + 1) if interleaved
//   3. k and v go to the sequence's pages, in the cache's type: the token at position p to place p mod P of the page that holds p
//
//   q               [T, Hq * D]   in place
//   k               [T, Hkv * D]  overwritten; what is in the pages counts
//   v               [T, Hkv * D]
//   q_norm, k_norm  [D]           or none
//   frequencies     [pairs]       radians per position
//
// The angle is the float32 product; its cosine and sine are computed in float64 and rounded. Order of a norm: as in add_norm.
// Bytes: 8 * T * (Hq + 2 Hkv) * D; limited by memory.
#include "ops/kv_cache.h"
#include "ops/step.h"

namespace kvasir {

struct Rope {
  View frequencies;
  int pairs;
  float scale;
  bool interleaved;
};

struct QkRopeAppend {
  const StepInputs* step;
  View q;
  View k;
  View v;
  View q_norm;
  View k_norm;
  float epsilon;
  Rope rope;
  KvLayer cache;
  int group;  // of the cache: which page tables
  int query_heads;

  void visit(auto&& memory) { memory(step, q, k, v, q_norm, k_norm, rope.frequencies, cache.k, cache.v); }
};

}  // namespace kvasir
