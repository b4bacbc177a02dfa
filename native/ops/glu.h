#pragma once
// glu: y[i] = activation(gate[i]) * up[i]                                                             (Shazeer 2020)
//
//   gate, up, y  [count]  float32; y may be gate or up
//   silu(x) = x / (1 + exp(-x));   gelu_tanh(x) = x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))
//
// The vectorized exponential is within 2 ulp; element i's bits depend on element i alone. Bytes: 12 * count; limited by memory.
#include "ops/backend.h"

namespace kvasir {

enum class Activation : uint8_t { Silu, GeluTanh };

struct Glu {
  const float* gate;
  const float* up;
  float* y;
  size_t count;
  Activation activation;
};

}  // namespace kvasir
