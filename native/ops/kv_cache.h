#pragma once
// The page store that qk_rope_append writes and attention reads, for one layer. A page holds P tokens of every kv head. Its size is the
// contract's; the order within it is the back end's own. The CPU's (the CUDA back end's is in cuda/kernels/kv.cuh):
//
//   k  page: [Hkv, D, P]   within a page a dimension's P keys lie side by side: q.k vectorizes over keys, without horizontal sums
//   v  page: [Hkv, P, D]   a token's values lie side by side: p.v vectorizes over dimensions
//
// Element type F32, F16, BF16 or F8_E4M3: rounded to nearest even when written; F8_E4M3, which has no scales here, to +-448 where it is
// beyond (NaN stays NaN). Page p is row p of the view: a pool keeps a page's layers side by side, so a short sequence touches little memory
// and a page is one piece.
#include "ops/memory.h"

namespace kvasir {

struct KvLayer {
  View k;  // [pages, Hkv * D * P]
  View v;
  int kv_heads;
  int head_size;
  int page_size;  // P, a multiple of 16
};

}  // namespace kvasir
