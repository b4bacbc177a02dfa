#pragma once
// Rows of views, and the norm that two ops apply to them.
#include "cpu/kernels/loops.h"
#include "ops/memory.h"

namespace kvasir::cpu::KVASIR_ISA {

// Row `index` of a float32 view.
KVASIR_INLINE float* row_of(const View& view, int64_t index) {
  return static_cast<float*>(view.data) + index * view.stride;
}

// 1 / sqrt(mean of squares + epsilon), in all lanes. Squares are summed in 16 lanes, the lanes then pairwise.
KVASIR_INLINE f32x16 norm_scale(const float* x, int cols, float epsilon) {
  f32x16 squares = zeros();
  for_vectors(0, cols, [&](int64_t i, int lanes) {
    const f32x16 part = load_lanes(x + i, lanes);
    squares = fma(part, part, squares);
  });
  const float mean = sum(squares) / static_cast<float>(cols);
  return splat(1.0f / __builtin_sqrtf(mean + epsilon));
}

// y = norm(x, weight); y may be x.
KVASIR_INLINE void norm(const float* x, const float* weight, int cols, float epsilon, float* y) {
  const f32x16 scale = norm_scale(x, cols, epsilon);
  for_vectors(0, cols,
              [&](int64_t i, int lanes) { store_lanes(y + i, load_lanes(x + i, lanes) * scale * load_lanes(weight + i, lanes), lanes); });
}

}  // namespace kvasir::cpu::KVASIR_ISA
