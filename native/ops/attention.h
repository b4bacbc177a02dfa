#pragma once
// attention: causal grouped-query attention over the paged cache                                     (Dao et al. 2022, FlashAttention)
//
//   out[t][h] = sum_j softmax_j(cap(scale * q[t][h] . k[j][g])) * v[j][g],   g = h / (Hq / Hkv),  j in (p - window, p] or [0, p]
//   cap(s) = softcap * tanh(s / softcap), or s where softcap is 0; tanh as in ops/scale_logits.h
//   p is the position of t;   q, out  [T, Hq * D]
//
// The keys of the step itself are in the cache already. Pages that lie wholly before the window may be gone and are not read.
// Order: keys in tiles whose borders are multiples of the tile size in absolute positions, tiles ascending, so that the bits depend only on
// the query and the cache. CPU: float32 throughout. A device may round queries (times scale) and the softmax's weights to the cache's type,
// take exp and tanh from powers of 2, and sum each tile by itself before it joins those before.
// Operations: 4 * D per query head and key; bytes: the sequence's K and V once per step and kv head. Decode is limited by bandwidth,
// prefill by arithmetic.
#include "ops/kv_cache.h"
#include "ops/step.h"

namespace kvasir {

struct Attention {
  const StepInputs* step;
  View q;
  View out;
  KvLayer cache;
  int group;  // of the cache: which page tables
  int query_heads;
  float scale;
  float softcap = 0;
  int window;  // 0: all

  void visit(auto&& memory) { memory(step, q, out, cache.k, cache.v); }
};

}  // namespace kvasir
