#pragma once
// The activations of gated units: see ops/matmul.h.
#include "cpu/kernels/loops.h"
#include "ops/matmul.h"

namespace kvasir::cpu::KVASIR_ISA {

// Below this both activations are -0, their limit; from there on exp(-x) is finite or its x / infinity right.
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

// gate[i] = activation(gate[i]) * up[i]
inline void multiply_gate(Activation activation, float* gate, const float* up, int count) {
  const auto run = [&](auto activate) {
    for_vectors(0, count, [&](int64_t i, int lanes) {
      store_lanes(gate + i, activate(load_lanes(gate + i, lanes)) * load_lanes(up + i, lanes), lanes);
    });
  };
  if (activation == Activation::Silu) return run([](f32x16 x) { return silu(x); });
  run([](f32x16 x) { return gelu_tanh(x); });
}

}  // namespace kvasir::cpu::KVASIR_ISA
