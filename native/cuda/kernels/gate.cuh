#pragma once
// The activations of feed-forwards (ops/matmul.h), and soft caps.
#include "ops/matmul.h"

namespace kvasir::cuda {

__device__ inline float activate(Activation activation, float x) {
  if (activation == Activation::Silu) return x / (1.0f + expf(-x));
  if (activation == Activation::Gelu) return 0.5f * x * erfcf(-0.70710678f * x);
  const float cubic = fmaf(x * x * x, 0.044715f, x);
  return x / (1.0f + expf(-1.5957691216057308f * cubic));  // (1 + tanh(u)) / 2 is the logistic function of 2 u
}

// The same by the special function units, right to some 2^-19: for what is rounded to bfloat16. Silu and GeluTanh are told apart without a
// branch.
__device__ inline float activate_fast(Activation activation, float x) {
  if (activation == Activation::Gelu) return 0.5f * x * erfcf(-0.70710678f * x);
  const float tanh_u = 1.5957691216057308f * fmaf(x * x * x, 0.044715f, x), u = activation == Activation::Silu ? x : tanh_u;
  return __fdividef(x, 1.0f + __expf(-u));
}

// f of an activation as activate_fast wants it: a branch once, not at each number.
template <class Function>
__device__ inline void with_activation(Activation activation, const Function& f) {
  if (activation == Activation::Gelu) return f(Activation::Gelu);
  f(activation == Activation::Silu ? Activation::Silu : Activation::GeluTanh);
}

__device__ inline float soft_cap(float x, float cap) {
  return cap * tanhf(x / cap);
}

}  // namespace kvasir::cuda
