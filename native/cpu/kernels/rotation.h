#pragma once
// The rotation of rope (ops/qk_rope_append.h) for one position: cosines and sines of a chunk of pairs, and how a head turns by them.
#include "cpu/kernels/rows.h"
#include "ops/qk_rope_append.h"

namespace kvasir::cpu::KVASIR_ISA {

inline constexpr int kRotationPairs = 64;  // of a chunk: those of a head of 128, half a KiB of stack

struct Rotation {
  float cosine[kRotationPairs];
  float sine[kRotationPairs];
};

// fdlibm's polynomials on [-pi/4, pi/4], lowest power first: sin r = r + r^3 s(r^2), cos r = 1 - r^2 / 2 + r^4 c(r^2).
inline constexpr double kSine[] = {-1.66666666666666324348e-01, 8.33333333332248946124e-03,  -1.98412698298579493134e-04,
                                   2.75573137070700676789e-06,  -2.50507602534068634195e-08, 1.58969099521155010221e-10};
inline constexpr double kCosine[] = {4.16666666666666019037e-02,  -1.38888888888741095749e-03, 2.48015872894767294178e-05,
                                     -2.75573143513906633035e-07, 2.08757232129817482790e-09,  -1.13596475577881948265e-11};

KVASIR_INLINE double polynomial(double z, const double (&coefficients)[6]) {
  double sum = coefficients[5];
#pragma GCC unroll 5
  for (int i = 4; i >= 0; --i) sum = sum * z + coefficients[i];
  return sum;
}

// cos and sin in float64 without a branch, so that the compiler vectorizes it: the angle less a multiple of pi/2 in three parts (exact for
// angles to 2^20), then a polynomial. Error below 1e-15, far below float32's rounding.
KVASIR_INLINE void cos_sin(double angle, float* cosine, float* sine) {
  constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer, left in the low bits
  const double shifted = angle * 0.63661977236758134308 + kRound, n = shifted - kRound;
  int64_t quadrant;
  std::memcpy(&quadrant, &shifted, 8);
  double r = angle - n * 1.57079632673412561417e+00;
  r -= n * 6.07710050630396597660e-11;
  r -= n * 2.02226624879595063154e-21;
  const double z = r * r;
  const double s = r + r * z * polynomial(z, kSine), c = 1 - z / 2 + z * z * polynomial(z, kCosine);
  const bool swap = (quadrant & 1) != 0;
  const double cosine_size = swap ? s : c, sine_size = swap ? c : s;
  *cosine = static_cast<float>(((quadrant + 1) & 2) != 0 ? -cosine_size : cosine_size);
  *sine = static_cast<float>((quadrant & 2) != 0 ? -sine_size : sine_size);
}

// Pairs [first, first + count) at a position.
inline Rotation rotation_of(const Rope& rope, int position, int first, int count) {
  Rotation rotation;
  const float* frequencies = row_of(rope.frequencies, 0) + first;
  for (int i = 0; i < count; ++i) {
    const float angle = static_cast<float>(position) * frequencies[i];
    cos_sin(angle, &rotation.cosine[i], &rotation.sine[i]);
  }
  for (int i = 0; i < count; ++i) {
    rotation.cosine[i] *= rope.scale;
    rotation.sine[i] *= rope.scale;
  }
  return rotation;
}

KVASIR_INLINE void rotate_halves(float* a, float* b, const Rotation& rotation, int count) {
  for_vectors(0, count, [&](int64_t i, int lanes) {
    const f32x16 x = load_lanes(a + i, lanes), y = load_lanes(b + i, lanes);
    const f32x16 c = load_lanes(rotation.cosine + i, lanes), s = load_lanes(rotation.sine + i, lanes);
    store_lanes(a + i, x * c - y * s, lanes);
    store_lanes(b + i, x * s + y * c, lanes);
  });
}

KVASIR_INLINE void rotate_neighbours(float* pairs, const Rotation& rotation, int count) {
  for (int i = 0; i < count; ++i) {
    const float x = pairs[2 * i], y = pairs[2 * i + 1], c = rotation.cosine[i], s = rotation.sine[i];
    pairs[2 * i] = x * c - y * s;
    pairs[2 * i + 1] = x * s + y * c;
  }
}

// Turns those pairs of a head.
KVASIR_INLINE void rotate(const Rope& rope, const Rotation& rotation, int first, int count, float* head) {
  if (rope.interleaved) {
    rotate_neighbours(head + 2 * first, rotation, count);
  } else {
    rotate_halves(head + first, head + rope.pairs + first, rotation, count);
  }
}

}  // namespace kvasir::cpu::KVASIR_ISA
