#pragma once
// embed: y[t] = scale * table[token_ids[t]] + position_table[positions[t]]
//
//   table           [V, K]  a Weight, in any type; exactly dequantized, but for scales and mins, which a device may have rounded to bfloat16
//                           where its matmul reads the table, too (compute BF16)
//   position_table  [P, K]  the same, or none; every position of the step is below P
//   y               [T, K]
//
// Bytes: T rows of each table. Limited by latency; never a cost beside the matmuls.
#include "ops/memory.h"
#include "ops/step.h"

namespace kvasir {

struct Embed {
  const StepInputs* step;
  const Weight* table;
  const Weight* position_table = nullptr;
  View y;
  float scale;

  void visit(auto&& memory) { memory(step, y); }
};

}  // namespace kvasir
