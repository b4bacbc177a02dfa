#pragma once
// The element types of the cache, and where a token's are: a page is [Hkv, P, D] for keys and for values, so that a warp reads a key's
// dimensions side by side. (The size of a page is the contract's; its inner order is each back end's own.)
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "ops/kv_cache.h"
#include "ops/step.h"

namespace kvasir::cuda {

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__half x) { return __half2float(x); }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ inline void put(float* place, float x) { *place = x; }
__device__ inline void put(__half* place, float x) { *place = __float2half_rn(x); }
__device__ inline void put(__nv_bfloat16* place, float x) { *place = __float2bfloat16_rn(x); }

// The page of a row's position.
__device__ inline int64_t page_of(const PageTables& tables, int row, int position, int page_size) {
  return tables.pages[tables.indptr[row] + position / page_size - tables.first[row]];
}

template <class Element>
__device__ Element* kv_place(const View& part, const KvLayer& cache, int64_t page, int head, int position) {
  return static_cast<Element*>(part.data) + page * part.stride + (int64_t(head) * cache.page_size + position % cache.page_size) * cache.head_size;
}

template <class Function>
void with_element(DType type, const Function& f) {
  if (type == DType::F32) return f(float());
  if (type == DType::F16) return f(__half());
  f(__nv_bfloat16());
}

}  // namespace kvasir::cuda
