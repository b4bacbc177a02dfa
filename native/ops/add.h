#pragma once
// add: x[i] += y[i], the residual. Bytes: 12 * count; limited by memory.
#include "ops/backend.h"

namespace kvasir {

struct Add {
  float* x;
  const float* y;
  size_t count;
};

}  // namespace kvasir
