#pragma once
// matmul: y[t][n] = sum_k x[t][k] * W[n][k] + bias[n], for up to three matrices that share x (q, k, v; gate, up)
//
//   x     [rows, K]
//   W     [N, K]     a Weight in any type; all of an op are multiplied with the same compute
//   bias  [N]        or none
//   y     [rows, N]
//
// Compute:
//   F32   exactly dequantized weights, float32 products
//   BF16  x rounded to bfloat16 (nearest even), then as F32; a device may round W to bfloat16, too: the value once, or a block's scale
//         and min and then the product
//   INT8  where W has levels (all blocks but F8_E4M3): x rounded to 8 bits by blocks of 32 (scale = max|x| / 127), integer products exact
//         within a block; where it has none: as F32
// Order, CPU: for each (t, n) one accumulator runs over k (F32, BF16) or over the blocks of k (INT8) in ascending order; bias last. A
// device may share out k among several accumulators and add these, as K alone says; bias last.
// x and W are finite. Where x is not, what is infinite in one step may be NaN in another one of more rows on a device.
//
// Epilogue:
//   None
//   Gate      the outputs are gate and up of a gated unit (Shazeer 2020); y of the first becomes activation(gate) * up, y of the second
//             is scratch
//   Activate  y becomes activation(y); a device may round y to its type before
//   silu(x) = x / (1 + exp(-x));   gelu_tanh(x) = x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))
//   gelu(x) = x/2 * (1 + erf(x / sqrt(2)))                                                           (Hendrycks and Gimpel 2016)
//   exp to within 2 ulp; on a device all of it within 2^-19 where a gated product goes to 16 bits
//
// Bytes: the weights once per step for few rows; operations: 2 * rows * N * K. Limited by bandwidth up to some tens of rows, then by
// arithmetic.
#include <array>

#include "ops/memory.h"

namespace kvasir {

enum class Activation : uint8_t { Silu, GeluTanh, Gelu };
enum class Epilogue : uint8_t { None, Gate, Activate };

struct Projection {
  const Weight* weight = nullptr;
  View bias;
  View y;
};

struct Matmul {
  static constexpr int kMostOutputs = 3;

  View x;
  int rows;
  std::array<Projection, kMostOutputs> outputs;  // those with a weight
  Epilogue epilogue = Epilogue::None;
  Activation activation = Activation::Silu;  // of the epilogue

  void visit(auto&& memory) {
    memory(x);
    for (Projection& output : outputs) memory(output.bias, output.y);
  }
};

}  // namespace kvasir
