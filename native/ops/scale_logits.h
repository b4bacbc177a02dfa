#pragma once
// scale_logits: x[r][i] = cap(scale * x[r][i]), in place; what some models do to logits
//
//   cap(s) = softcap * tanh(s / softcap), or s where softcap is 0;   tanh from an exponential to within 2 ulp: its error is below 3 * 2^-24
//   x  [rows, cols]  float32
//
// Bytes: 8 * rows * cols; limited by memory. Runs only in models that scale or cap their logits.
#include "ops/memory.h"

namespace kvasir {

struct ScaleLogits {
  View x;
  int rows;
  int cols;
  float scale;
  float softcap;

  void visit(auto&& memory) { memory(x); }
};

}  // namespace kvasir
