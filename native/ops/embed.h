#pragma once
// embed: y[t] = scale * table[token[t]]
//
//   table   [V, K]  a Weight, in any type; exactly dequantized
//   tokens  [T]     int32, each in [0, V)
//   y       [T, K]  float32
//
// Bytes: T rows of the table. Limited by latency; never a cost beside the matmuls.
#include "ops/backend.h"

namespace kvasir {

struct Embed {
  const Weight* table;
  const int32_t* tokens;
  int count;  // T
  float scale;
  float* y;
};

}  // namespace kvasir
