#pragma once
// add_norm: the residual and the norm that follows it                (Zhang and Sennrich 2019, RMSNorm; Ba et al. 2016, LayerNorm)
//
//   x[r] += delta_scale * post(delta[r]);   y[r] = norm(x[r], weight) + bias
//   rms:    norm(a, w)[i] = a[i] / sqrt(mean_i(a[i]^2) + epsilon) * w[i]
//   layer:  norm(a, w)[i] = c[i] / sqrt(mean_i(c[i]^2) + epsilon) * w[i],   c = a - mean_i(a[i])
//   post(d) is norm(d, post_weight), or d where there is no post_weight; without a weight y is x
//
//   x            [rows, cols]  the residual, in place; only read where there is no delta
//   delta        [rows, cols]  or none
//   post_weight  [cols]        or none
//   y            [rows, cols]  or none: nothing follows. y may be x where there is no delta
//   weight       [cols]        of y, or none
//   bias         [cols]        of y, or none; there is none without a weight
//
// In a step, delta is read by this op alone, and a y of 16 bits by matmuls alone, before the next y takes its place: a device may leave a
// row's scale, 1 / sqrt(...), to their sums.
//
// Order, CPU: squares, and where there is a mean the elements, are summed in 16 lanes (lane = i mod 16), the lanes then pairwise. A device has
// an order of its own, which depends on cols alone.
// Bytes: 16 * rows * cols; limited by memory.
#include "ops/memory.h"

namespace kvasir {

enum class NormKind : uint8_t { Rms, Layer };

struct Norm {
  NormKind kind;
  float epsilon;
};

struct AddNorm {
  View x;
  View delta = {};
  float delta_scale = 1;
  View post_weight = {};
  View y = {};
  View weight = {};
  View bias = {};
  int rows;
  int cols;
  Norm norm;

  void visit(auto&& memory) { memory(x, delta, post_weight, y, weight, bias); }
};

}  // namespace kvasir
