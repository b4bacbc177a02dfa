#pragma once
// The element types of the cache, and where a token's are. The size of a page is the contract's, its inner order the back end's own:
//
//   k  page: [Hkv, P, D]   a key's dimensions lie side by side
//   v  page: [Hkv, D, P]   a dimension's values lie side by side: a page is the 16 k of one step of the tensor cores
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "ops/kv_cache.h"
#include "ops/step.h"

namespace kvasir::cuda {

__device__ inline float to_float(float x) {
  return x;
}
__device__ inline float to_float(__half x) {
  return __half2float(x);
}
__device__ inline float to_float(__nv_bfloat16 x) {
  return __bfloat162float(x);
}
__device__ inline void put(float* place, float x) {
  *place = x;
}
__device__ inline void put(__half* place, float x) {
  *place = __float2half_rn(x);
}
__device__ inline void put(__nv_bfloat16* place, float x) {
  *place = __float2bfloat16_rn(x);
}

// The first position that a query sees; a window of 0 is none.
__device__ inline int first_seen(int window, int position) {
  return window > 0 ? max(0, position - window + 1) : 0;
}

// The page of a row's position.
__device__ inline int64_t page_of(const PageTables& tables, int row, int position, int page_size) {
  return tables.pages[tables.indptr[row] + position / page_size - tables.first[row]];
}

// A head's keys, or values, in a page.
template <class Element>
__device__ Element* head_of(const View& part, const KvLayer& cache, int64_t page, int head) {
  return static_cast<Element*>(part.data) + page * part.stride + int64_t(head) * cache.page_size * cache.head_size;
}

// Dimension 0 of a key; its others follow.
template <class Element>
__device__ Element* key_of(const KvLayer& cache, int64_t page, int head, int position) {
  return head_of<Element>(cache.k, cache, page, head) + position % cache.page_size * cache.head_size;
}

// Dimension 0 of a value; its others follow P elements apart.
template <class Element>
__device__ Element* value_of(const KvLayer& cache, int64_t page, int head, int position) {
  return head_of<Element>(cache.v, cache, page, head) + position % cache.page_size;
}

template <class Function>
void with_element(DType type, const Function& f) {
  if (type == DType::F32) return f(float());
  if (type == DType::F16) return f(__half());
  f(__nv_bfloat16());
}

}  // namespace kvasir::cuda
