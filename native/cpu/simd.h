#pragma once
// Vectors of 16 lanes, the unit that every kernel is written in: f32x16, i32x16, and u8x64 (16 lanes of 4 bytes). Each instruction set has
// its own definitions of the same functions in its own namespace, KVASIR_ISA, because a kernel file is compiled once for each and the
// linker would otherwise merge inline functions of the same name.
//
//   zeros, splat, load, store; load_part and store_part touch `count` (0 to 16) lanes, the others are 0
//   + - *, fma(a, b, c) = a * b + c (fused where the instruction set can), min, max (a NaN in the second operand wins)
//   round_even, to_i32: to nearest even, for |x| < 2^22
//   load_f16, load_bf16, store_f16, store_bf16: 16 elements of 2 bytes
//   load_e4m3: 16 numbers of 1 sign, 4 exponent (bias 7) and 3 mantissa bits; all bits but the sign are NaN
//   load_u8, load_i8, load_u16, load_i32: 16 integers; shift_right_by: by a count that is not known when it is compiled, sign extended
//   lookup(table, u): table[u] of each byte, u <= 15
//   sum: of the lanes, pairwise: 8 apart, 4, 2, 1;  largest
//   dot_bf16(acc, pairs, x): acc + both products of bfloat16 numbers a lane, rounded as the processor does it; if kHasBf16Dot
//   dot(acc, u, x): acc + sum of 4 products u8 * s8 a lane, exact, u <= 127;  dot_biased: the same for u to 255, of (u - 128 + kDotBias)
#include <cstddef>
#include <cstdint>
#include <cstring>

#define KVASIR_INLINE inline __attribute__((always_inline))

#if defined(KVASIR_ISA_avx512) || defined(KVASIR_ISA_avx512_bf16) || defined(KVASIR_ISA_amx)
#include "cpu/simd_avx512.h"
#elif defined(KVASIR_ISA_avx2)
#include "cpu/simd_avx2.h"
#else
#include "cpu/simd_portable.h"
#endif

namespace kvasir::cpu::KVASIR_ISA {

inline constexpr int kLanes = 16;

#if defined(KVASIR_ISA_amx)
inline constexpr bool kHasTiles = true;  // of amx.h
#else
inline constexpr bool kHasTiles = false;
#endif

template <class T>
KVASIR_INLINE constexpr T least(T a, T b) {
  return b < a ? b : a;
}
template <class T>
KVASIR_INLINE constexpr T most(T a, T b) {
  return a < b ? b : a;
}

// e^x within 2 ulp, also where the result is subnormal, 0 or infinite; NaN stays NaN. Range reduction by ln 2 in two parts, then the
// polynomial of Cephes' expf.
KVASIR_INLINE f32x16 exp(f32x16 x) {
  x = max(splat(-105.0f), min(splat(89.0f), x));
  const f32x16 n = round_even(x * splat(1.44269504088896341f));
  f32x16 r = fma(n, splat(-0.693359375f), x);
  r = fma(n, splat(2.12194440e-4f), r);
  f32x16 p = splat(1.9875691500e-4f);
  p = fma(p, r, splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  p = fma(p, r * r, r) + splat(1.0f);
  // 2^n in two factors, each a normal number
  const i32x16 power = to_i32(n), half = shift_right<1>(power);
  return p * power_of_two(half) * power_of_two(power - half);
}

}  // namespace kvasir::cpu::KVASIR_ISA
