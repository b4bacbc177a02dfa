// rope: see ops/rope.h. Cosines and sines of a token are computed once, in chunks of pairs, then applied to all of its heads.
#include "ops/rope.h"

#include "cpu/kernels.h"
#include "cpu/kernels/loops.h"

namespace kvasir::cpu::KVASIR_ISA {
namespace {

constexpr int kPairs = 64;  // of a chunk

struct Rotation {
  float cosine[kPairs];
  float sine[kPairs];
};

// fdlibm's polynomials on [-pi/4, pi/4], lowest power first: sin r = r + r^3 s(r^2), cos r = 1 - r^2 / 2 + r^4 c(r^2).
constexpr double kSine[] = {-1.66666666666666324348e-01, 8.33333333332248946124e-03,  -1.98412698298579493134e-04,
                            2.75573137070700676789e-06,  -2.50507602534068634195e-08, 1.58969099521155010221e-10};
constexpr double kCosine[] = {4.16666666666666019037e-02,  -1.38888888888741095749e-03, 2.48015872894767294178e-05,
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

void rotation_of(const Rope& op, int position, int first, int count, Rotation& rotation) {
  for (int i = 0; i < count; ++i) {
    const float angle = static_cast<float>(position) * op.frequencies[first + i];
    cos_sin(angle, &rotation.cosine[i], &rotation.sine[i]);
  }
  for (int i = 0; i < count; ++i) {
    rotation.cosine[i] *= op.scale;
    rotation.sine[i] *= op.scale;
  }
}

void rotate_halves(float* a, float* b, const Rotation& rotation, int count) {
  for_vectors(0, count, [&](int64_t i, int lanes) {
    const f32x16 x = load_lanes(a + i, lanes), y = load_lanes(b + i, lanes);
    const f32x16 c = load_lanes(rotation.cosine + i, lanes), s = load_lanes(rotation.sine + i, lanes);
    store_lanes(a + i, x * c - y * s, lanes);
    store_lanes(b + i, x * s + y * c, lanes);
  });
}

void rotate_neighbours(float* pairs, const Rotation& rotation, int count) {
  for (int i = 0; i < count; ++i) {
    const float x = pairs[2 * i], y = pairs[2 * i + 1], c = rotation.cosine[i], s = rotation.sine[i];
    pairs[2 * i] = x * c - y * s;
    pairs[2 * i + 1] = x * s + y * c;
  }
}

void rotate_token(const Rope& op, int64_t token) {
  float* heads = op.x + token * op.heads * op.head_size;
  for (int first = 0; first < op.pairs; first += kPairs) {
    const int count = least(kPairs, op.pairs - first);
    Rotation rotation;
    rotation_of(op, op.positions[token], first, count, rotation);
    for (int head = 0; head < op.heads; ++head) {
      float* x = heads + int64_t(head) * op.head_size;
      if (op.interleaved) {
        rotate_neighbours(x + 2 * first, rotation, count);
      } else {
        rotate_halves(x + first, x + op.pairs + first, rotation, count);
      }
    }
  }
}

}  // namespace

void rope(const Rope& op, Threads& threads) {
  for_items(threads, op.count, int64_t(op.heads) * op.head_size + 32 * op.pairs, [&](int64_t token) { rotate_token(op, token); });
}

}  // namespace kvasir::cpu::KVASIR_ISA
