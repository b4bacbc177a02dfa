#pragma once
// The rotations of qk_rope_append (ops/qk_rope_append.h), by its own kernel and by the matmul before it.
#include "ops/qk_rope_append.h"

namespace kvasir::cuda {

struct Rotation {
  float cos, sin;
};

__device__ inline Rotation rotation_of(const Rope& rope, int position, int pair) {
  const float angle = static_cast<float>(position) * static_cast<const float*>(rope.frequencies.data)[pair];
  Rotation rotation;
  sincosf(angle, &rotation.sin, &rotation.cos);
  return {rotation.cos * rope.scale, rotation.sin * rope.scale};
}

// The two of a pair.
__device__ inline float first_rotated(float a, float b, Rotation by) {
  return __fsub_rn(__fmul_rn(a, by.cos), __fmul_rn(b, by.sin));
}
__device__ inline float second_rotated(float a, float b, Rotation by) {
  return __fadd_rn(__fmul_rn(a, by.sin), __fmul_rn(b, by.cos));
}

}  // namespace kvasir::cuda
