#pragma once
// Sums within a warp and a block, in one order.
#include <cuda_runtime.h>

#include "ops/memory.h"

namespace kvasir::cuda {

constexpr int kWarp = 32;

// Of all lanes, pairwise: 16 apart, 8, 4, 2, 1; the same in every lane.
__device__ inline float warp_sum(float x) {
  for (int apart = 16; apart > 0; apart /= 2) x += __shfl_xor_sync(0xffffffffu, x, apart);
  return x;
}

__device__ inline float warp_max(float x) {
  for (int apart = 16; apart > 0; apart /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, apart));
  return x;
}

// 1 / sqrt(mean of squares + epsilon), of their sum over a row.
__device__ inline float scale_of_squares(float sum, int cols, float epsilon) {
  return 1.0f / sqrtf(sum / static_cast<float>(cols) + epsilon);
}

// The same of a row, by one warp: lane i sums the elements i mod 32 ascending, then the lanes pairwise.
__device__ inline float norm_scale(const float* x, int cols, float epsilon) {
  float squares = 0;
  for (int i = threadIdx.x % kWarp; i < cols; i += kWarp) squares = fmaf(x[i], x[i], squares);
  return scale_of_squares(warp_sum(squares), cols, epsilon);
}

__device__ inline float* row_of(const View& view, int64_t index) {
  return static_cast<float*>(view.data) + index * view.stride;
}

// A value that is the same in all lanes, known as such to the compiler: addresses of copies and operands are in uniform registers then.
__device__ inline int uniform(int value) {
  return __shfl_sync(0xffffffffu, value, 0);
}

}  // namespace kvasir::cuda
