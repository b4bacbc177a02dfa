#pragma once
// rmsnorm: y[r][i] = x[r][i] / sqrt(mean_i(x[r][i]^2) + epsilon) * weight[i]      (Zhang and Sennrich 2019)
//
//   x, y    [rows, cols]  float32; y may be x. For q/k norms a row is one head: rows = T * H, cols = D
//   weight  [cols]        float32
//
// Order: the squares are summed in 16 lanes (lane = i mod 16), the lanes then pairwise. Bytes: 8 * rows * cols; limited by memory.
#include "ops/backend.h"

namespace kvasir {

struct RmsNorm {
  const float* x;
  const float* weight;
  float* y;
  int rows;
  int cols;
  float epsilon;
};

}  // namespace kvasir
