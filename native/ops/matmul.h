#pragma once
// matmul: y[t][n] = sum_k x[t][k] * W[n][k] + bias[n], for up to three matrices that share x (q, k, v; gate, up)
//
//   x     [T, K]  float32
//   W     [N, K]  a Weight in any type
//   bias  [N]     float32, or null
//   y     [T, N]  float32
//
// Compute:
//   F32   exactly dequantized weights, float32 products
//   BF16  x rounded to bfloat16 (nearest even), then as F32
//   INT8  where W is quantized: x rounded to 8 bits by blocks of 32 (scale = max|x| / 127), integer products exact within a block;
//         where W is not quantized: as F32
// Order: for each (t, n) one accumulator runs over k (F32, BF16) or over the blocks of k (INT8) in ascending order; bias last.
// Bytes: the weights once per step for small T; operations: 2 T N K. Limited by bandwidth up to some tens of rows, then by arithmetic.
#include <span>

#include "ops/backend.h"

namespace kvasir {

struct Projection {
  const Weight* weight;
  const float* bias;
  float* y;
};

struct Matmul {
  const float* x;
  int count;  // T
  Compute compute;
  std::span<const Projection> outputs;
};

}  // namespace kvasir
