#pragma once
// The scales of rows that a norm leaves to the matmuls that read it: its y is x * weight, and their sums are multiplied by
//
//   scale[t] = 1 / sqrt(mean_i(x[t][i]^2) + epsilon)
//
// so that a row's last sum is not waited for before the next weights are multiplied.
//
// Order of the sum of squares: parts of 16 columns pairwise (8 apart, 4, 2, 1), then lane i of a warp adds the parts i mod 32, ascending,
// and the lanes are added pairwise. So it does not matter whether add_norm has the row or a matmul's blocks have a panel of it each.
#include "cuda/kernels.h"
#include "cuda/kernels/warp.cuh"

namespace kvasir::cuda {

inline constexpr int kMostParts = parts_of(kMostScaledCols);

// The sum of squares of a part, of which 16 neighbouring lanes have a column each; 0 beyond the row's end.
__device__ inline float part_of_squares(float x) {
  float squares = __fmul_rn(x, x);
  for (int apart = kPartCols / 2; apart > 0; apart /= 2) squares += __shfl_xor_sync(0xffffffffu, squares, apart);
  return squares;
}
// The same, of which four neighbouring lanes have four columns each.
__device__ inline float part_of_squares(float4 x) {
  float squares[4] = {__fmul_rn(x.x, x.x), __fmul_rn(x.y, x.y), __fmul_rn(x.z, x.z), __fmul_rn(x.w, x.w)};
  for (float& square : squares) {
    for (int apart = 2; apart > 0; apart /= 2) square += __shfl_xor_sync(0xffffffffu, square, apart);
  }
  return (squares[0] + squares[2]) + (squares[1] + squares[3]);
}

// The scale of a row of `rows`, by a warp: what it takes can be asked for before it is needed. 1 where nothing is left to scale, and
// beyond the last row.
class RowScale {
 public:
  __device__ RowScale(const RowScales& scales, int row, int rows) : scales_(row < rows ? scales : RowScales{}) {
    if (scales_.values == nullptr) return;
    if (scales.cols == 0) {
      own_[0] = scales.values[row];
      return;
    }
    const int parts = parts_of(scales.cols), lane = threadIdx.x % kWarp;
    const float* squares = scales.values + row * parts;
#pragma unroll
    for (int i = 0; i < kMostParts / kWarp; ++i) {
      if (lane + i * kWarp < parts) own_[i] = squares[lane + i * kWarp];
    }
  }

  // The same in every lane.
  __device__ float get() const {
    if (scales_.values == nullptr) return 1.0f;
    if (scales_.cols == 0) return own_[0];
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kMostParts / kWarp; ++i) sum += own_[i];
    return scale_of_squares(warp_sum(sum), scales_.cols, scales_.epsilon);
  }

 private:
  const RowScales scales_;
  float own_[kMostParts / kWarp] = {};
};

}  // namespace kvasir::cuda
