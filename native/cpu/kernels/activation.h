#pragma once
// The activations of feed-forwards (ops/matmul.h), and soft caps.
#include "cpu/kernels/loops.h"
#include "ops/matmul.h"

namespace kvasir::cpu::KVASIR_ISA {

// Below this all activations are -0, their limit; from there on exp(-x) is finite or its x / infinity right.
inline constexpr float kLowest = -1e4f;

// x / (1 + exp(-t)), that is x times the logistic function of t.
KVASIR_INLINE f32x16 gated(f32x16 x, f32x16 t) {
  return x / (splat(1.0f) + exp(zeros() - t));
}

KVASIR_INLINE f32x16 silu(f32x16 x) {
  x = max(splat(kLowest), x);
  return gated(x, x);
}

// (1 + tanh(u)) / 2 is the logistic function of 2 u.
KVASIR_INLINE f32x16 gelu_tanh(f32x16 x) {
  x = max(splat(kLowest), x);
  const f32x16 cubic = fma(x * x * x, splat(0.044715f), x);
  return gated(x, cubic * splat(1.5957691216057308f));  // 2 sqrt(2 / pi)
}

// erfc(z) / 2 for z >= 0: t e^(P(t) - z^2) / 2 with t = 1 / (1 + z / 2), within 1.2e-7 of itself (Chebyshev fit: Press et al., erfcc).
KVASIR_INLINE f32x16 half_erfc(f32x16 z) {
  const f32x16 t = splat(1.0f) / fma(z, splat(0.5f), splat(1.0f));
  f32x16 p = splat(0.17087277f);
  p = fma(p, t, splat(-0.82215223f));
  p = fma(p, t, splat(1.48851587f));
  p = fma(p, t, splat(-1.13520398f));
  p = fma(p, t, splat(0.27886807f));
  p = fma(p, t, splat(-0.18628806f));
  p = fma(p, t, splat(0.09678418f));
  p = fma(p, t, splat(0.37409196f));
  p = fma(p, t, splat(1.00002368f));
  p = fma(p, t, splat(-1.26551223f));
  return t * splat(0.5f) * exp(p - z * z);
}

// The normal distribution's tail times |x| is what separates x from its positive part: no cancellation on either side.
KVASIR_INLINE f32x16 gelu(f32x16 x) {
  const f32x16 size = min(splat(-kLowest), max(zeros() - x, x));
  return max(zeros(), x) - size * half_erfc(size * splat(0.70710678118654752f));
}

// Calls f with the function of an activation.
template <class Function>
KVASIR_INLINE void with_activation(Activation activation, const Function& f) {
  if (activation == Activation::Silu) return f([](f32x16 x) { return silu(x); });
  if (activation == Activation::GeluTanh) return f([](f32x16 x) { return gelu_tanh(x); });
  f([](f32x16 x) { return gelu(x); });
}

// gate[i] = activation(gate[i]) * up[i]
inline void multiply_gate(Activation activation, float* gate, const float* up, int count) {
  with_activation(activation, [&](auto activate) {
    for_vectors(0, count, [&](int64_t i, int lanes) {
      store_lanes(gate + i, activate(load_lanes(gate + i, lanes)) * load_lanes(up + i, lanes), lanes);
    });
  });
}

// y[i] = activation(y[i])
inline void apply_activation(Activation activation, float* y, int count) {
  with_activation(activation, [&](auto activate) {
    for_vectors(0, count, [&](int64_t i, int lanes) { store_lanes(y + i, activate(load_lanes(y + i, lanes)), lanes); });
  });
}

// cap * tanh(x / cap); tanh(u) = 1 - 2 / (1 + e^2u) has its limits where e^2u has.
KVASIR_INLINE f32x16 soft_cap(f32x16 x, float cap) {
  return splat(cap) * (splat(1.0f) - splat(2.0f) / (splat(1.0f) + exp(x * splat(2 / cap))));
}

}  // namespace kvasir::cpu::KVASIR_ISA
