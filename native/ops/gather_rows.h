#pragma once
// gather_rows: y[i] = x[out_tokens[first + i]], the rows of which a step needs logits
//
//   x  [T, cols]
//   y  [count, cols]
//
// Bytes: 8 * count * cols; limited by memory.
#include "ops/memory.h"
#include "ops/step.h"

namespace kvasir {

struct GatherRows {
  const StepInputs* step;
  View x;
  View y;
  int first;
  int count;
  int cols;

  void visit(auto&& memory) { memory(step, x, y); }
};

}  // namespace kvasir
