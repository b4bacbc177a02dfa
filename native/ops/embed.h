#pragma once
// embed: y[t] = scale * table[token_ids[t]]
//
//   table  [V, K]  a Weight, in any type; exactly dequantized
//   y      [T, K]
//
// Bytes: T rows of the table. Limited by latency; never a cost beside the matmuls.
#include "ops/memory.h"
#include "ops/step.h"

namespace kvasir {

struct Embed {
  const StepInputs* step;
  const Weight* table;
  View y;
  float scale;

  void visit(auto&& memory) { memory(step, y); }
};

}  // namespace kvasir
