#pragma once
// Activations in memory: float32, or bfloat16 where a matmul reads them (compute bf16).
#include <cuda_bf16.h>

#include "ops/memory.h"

namespace kvasir::cuda {

__device__ inline float load(const View& view, int64_t row, int64_t col) {
  const int64_t place = row * view.stride + col;
  if (view.type == DType::BF16) return __bfloat162float(static_cast<const __nv_bfloat16*>(view.data)[place]);
  return static_cast<const float*>(view.data)[place];
}

__device__ inline void store(const View& view, int64_t row, int64_t col, float value) {
  const int64_t place = row * view.stride + col;
  if (view.type == DType::BF16) {
    static_cast<__nv_bfloat16*>(view.data)[place] = __float2bfloat16_rn(value);
  } else {
    static_cast<float*>(view.data)[place] = value;
  }
}

}  // namespace kvasir::cuda
