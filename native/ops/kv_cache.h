#pragma once
// The page store that append_kv writes and attention reads, for one layer. A page holds P tokens of every kv head.
//
//   k  page: [Hkv, D, P]   within a page a dimension's P keys lie side by side: q.k vectorizes over keys, without horizontal sums
//   v  page: [Hkv, P, D]   a token's values lie side by side: p.v vectorizes over dimensions
//
// Element type F32, F16 or BF16 (rounded to nearest even when written). Page p starts page_stride * p elements after page 0: a pool keeps
// a page's layers side by side, so a short sequence touches little memory and a page is one piece.
//
// Which pages belong to row b of a step (CSR, int32):
//   pages[indptr[b] .. indptr[b+1])  in order; the first is page number first[b] of the sequence (positions from first[b] * P on)
#include <cstdint>

#include "tensor/dtype.h"

namespace kvasir {

struct KvLayer {
  void* k;
  void* v;
  DType type;
  int kv_heads;
  int head_size;
  int page_size;        // P, a multiple of 16
  int64_t page_stride;  // elements from a page to the next, at least Hkv * D * P
};

struct PageTables {
  const int32_t* indptr;  // [B + 1]
  const int32_t* first;   // [B]
  const int32_t* pages;
};

// Which tokens of the step belong to row b: [indptr[b], indptr[b+1]), at positions starts[b], starts[b] + 1, ...
struct Rows {
  int count;              // B
  const int32_t* indptr;  // [B + 1]
  const int32_t* starts;  // [B]
};

}  // namespace kvasir
