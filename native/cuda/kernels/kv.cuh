#pragma once
// The element types of the cache, and where a token's are. The size of a page is the contract's, its inner order the back end's own: cores of
// 8 x 8, as the tensor cores take them (8 dimensions of a key, or 8 keys of a dimension, side by side: 16 bytes, of E4M3 8), where D is a
// multiple of 8:
//
//   k  page: [Hkv, P / 8, D / 8, 8 keys, 8 dimensions]      v  page: [Hkv, P / 8, D / 8, 8 dimensions, 8 keys]      else: [Hkv, P, D]
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "cuda/e4m3.cuh"
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
__device__ inline float to_float(__nv_fp8_e4m3 x) {
  return e4m3_pair(x.__x).x;
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

__device__ inline void put(__nv_fp8_e4m3* place, float x) {
  *place = to_e4m3(x);
}

// The first position that a query sees; a window of 0 is none.
__device__ inline int first_seen(int window, int position) {
  return window > 0 ? max(0, position - window + 1) : 0;
}

// The pages of a row: that of a position is pages[position / P].
__device__ inline const int32_t* pages_of(const PageTables& tables, int row) {
  return tables.pages + (tables.indptr[row] - tables.first[row]);
}
__device__ inline int64_t page_of(const PageTables& tables, int row, int position, int page_size) {
  return pages_of(tables, row)[position / page_size];
}

// A head's keys, or values, in a page.
template <class Element>
__device__ Element* head_of(const View& part, const KvLayer& cache, int64_t page, int head) {
  return static_cast<Element*>(part.data) + page * part.stride + int64_t(head) * cache.page_size * cache.head_size;
}

// Where dimension d of a position's key, or value, is among its head's.
__device__ inline int key_place(const KvLayer& cache, int position, int d) {
  const int p = position % cache.page_size, D = cache.head_size;
  return D % 8 == 0 ? (p / 8 * (D / 8) + d / 8) * 64 + p % 8 * 8 + d % 8 : p * D + d;
}
__device__ inline int value_place(const KvLayer& cache, int position, int d) {
  const int p = position % cache.page_size, D = cache.head_size;
  return D % 8 == 0 ? (p / 8 * (D / 8) + d / 8) * 64 + d % 8 * 8 + p % 8 : p * D + d;
}

template <class Function>
void with_element(DType type, const Function& f) {
  if (type == DType::F32) return f(float());
  if (type == DType::F16) return f(__half());
  if (type == DType::BF16) return f(__nv_bfloat16());
  f(__nv_fp8_e4m3());
}

}  // namespace kvasir::cuda
