// glu: see ops/glu.h.
#include "ops/glu.h"

#include "cpu/kernels.h"
#include "cpu/kernels/loops.h"

namespace kvasir::cpu::KVASIR_ISA {
namespace {

// Below this both activations are -0, their limit; from there on exp(-x) is finite or its x / infinity right.
constexpr float kLowest = -1e4f;

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

}  // namespace

void glu(const Glu& op, Threads& threads) {
  const auto run = [&](auto activate) {
    for_elements(threads, op.count, [&](int64_t i, int lanes) {
      store_lanes(op.y + i, activate(load_lanes(op.gate + i, lanes)) * load_lanes(op.up + i, lanes), lanes);
    });
  };
  if (op.activation == Activation::Silu) return run([](f32x16 x) { return silu(x); });
  run([](f32x16 x) { return gelu_tanh(x); });
}

}  // namespace kvasir::cpu::KVASIR_ISA
