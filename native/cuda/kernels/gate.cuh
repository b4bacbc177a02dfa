#pragma once
// The activations of gated units: see ops/matmul.h.
#include "ops/matmul.h"

namespace kvasir::cuda {

__device__ inline float activate(Activation activation, float x) {
  if (activation == Activation::Silu) return x / (1.0f + expf(-x));
  const float cubic = fmaf(x * x * x, 0.044715f, x);
  return x / (1.0f + expf(-1.5957691216057308f * cubic));  // (1 + tanh(u)) / 2 is the logistic function of 2 u
}

}  // namespace kvasir::cuda
