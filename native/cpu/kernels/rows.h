#pragma once
// Rows of views, and the norm that two ops apply to them.
#include "cpu/kernels/loops.h"
#include "ops/add_norm.h"

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

KVASIR_INLINE f32x16 mean_of(const float* x, int cols) {
  f32x16 total = zeros();
  for_vectors(0, cols, [&](int64_t i, int lanes) { total = total + load_lanes(x + i, lanes); });
  return splat(sum(total) / static_cast<float>(cols));
}

// 1 / sqrt(mean of squared distances from the mean + epsilon), summed as in norm_scale.
KVASIR_INLINE f32x16 layer_norm_scale(const float* x, f32x16 mean, int cols, float epsilon) {
  f32x16 squares = zeros();
  for_vectors(0, cols, [&](int64_t i, int lanes) {
    const f32x16 part = first_lanes(load_lanes(x + i, lanes) - mean, lanes);
    squares = fma(part, part, squares);
  });
  return splat(1.0f / __builtin_sqrtf(sum(squares) / static_cast<float>(cols) + epsilon));
}

// Calls put(i, lanes, norm(x, weight)[i]) for each vector.
template <class Put>
KVASIR_INLINE void for_normed(const float* x, const float* weight, int cols, Norm kind, const Put& put) {
  if (kind.kind == NormKind::Rms) {
    const f32x16 scale = norm_scale(x, cols, kind.epsilon);
    for_vectors(0, cols, [&](int64_t i, int lanes) { put(i, lanes, load_lanes(x + i, lanes) * scale * load_lanes(weight + i, lanes)); });
  } else {
    const f32x16 mean = mean_of(x, cols), scale = layer_norm_scale(x, mean, cols, kind.epsilon);
    for_vectors(0, cols,
                [&](int64_t i, int lanes) { put(i, lanes, (load_lanes(x + i, lanes) - mean) * scale * load_lanes(weight + i, lanes)); });
  }
}

// y = norm(x, weight); y may be x.
KVASIR_INLINE void norm(const float* x, const float* weight, int cols, Norm kind, float* y) {
  for_normed(x, weight, cols, kind, [&](int64_t i, int lanes, f32x16 normed) { store_lanes(y + i, normed, lanes); });
}

}  // namespace kvasir::cpu::KVASIR_ISA
