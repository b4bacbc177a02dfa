#pragma once
// add_norm: the residual and the norm that follows it                                                   (Zhang and Sennrich 2019, RMSNorm)
//
//   x[r] += post(delta[r]);   y[r] = norm(x[r], weight)
//   norm(a, w)[i] = a[i] / sqrt(mean_i(a[i]^2) + epsilon) * w[i];   post(d) is norm(d, post_weight), or d where there is no post_weight
//
//   x            [rows, cols]  the residual, in place; only read where there is no delta
//   delta        [rows, cols]  or none
//   post_weight  [cols]        or none
//   y            [rows, cols]  or none: nothing follows. y may be x where there is no delta
//   weight       [cols]        of y
//
// Order: squares are summed in 16 lanes (lane = i mod 16), the lanes then pairwise. Bytes: 16 * rows * cols; limited by memory.
#include "ops/memory.h"

namespace kvasir {

struct AddNorm {
  View x;
  View delta = {};
  View post_weight = {};
  View y = {};
  View weight = {};
  int rows;
  int cols;
  float epsilon;

  void visit(auto&& memory) { memory(x, delta, post_weight, y, weight); }
};

}  // namespace kvasir
