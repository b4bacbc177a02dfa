#pragma once
// 16 lanes as four of the compiler's own 16-byte vectors, which x86-64-v2 and arm64 both have: no intrinsics. See simd.h.
#include "tensor/dtype.h"

namespace kvasir::cpu::KVASIR_ISA {

using f32x4 = float __attribute__((vector_size(16)));
using i32x4 = int32_t __attribute__((vector_size(16)));
using u32x4 = uint32_t __attribute__((vector_size(16)));
using i16x8 = int16_t __attribute__((vector_size(16)));
using u16x8 = uint16_t __attribute__((vector_size(16)));
using u8x16 = uint8_t __attribute__((vector_size(16)));
using u16x4 = uint16_t __attribute__((vector_size(8)));
using u8x4 = uint8_t __attribute__((vector_size(4)));
using i8x4 = int8_t __attribute__((vector_size(4)));

template <class Part>
struct Quad {
  Part part[4];
};
struct f32x16 : Quad<f32x4> {};
struct i32x16 : Quad<i32x4> {};
struct u8x64 : Quad<u8x16> {};

// Each part i of the result is f(i).
template <class Vector, class F>
KVASIR_INLINE Vector each(const F& f) {
  Vector result;
  result.part[0] = f(0);
  result.part[1] = f(1);
  result.part[2] = f(2);
  result.part[3] = f(3);
  return result;
}

template <class T>
KVASIR_INLINE T load_as(const void* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

KVASIR_INLINE f32x16 splat(float x) {
  return each<f32x16>([=](int) { return f32x4{x, x, x, x}; });
}
KVASIR_INLINE f32x16 zeros() {
  return splat(0);
}
KVASIR_INLINE f32x16 load(const float* p) {
  return each<f32x16>([=](int i) { return load_as<f32x4>(p + 4 * i); });
}
KVASIR_INLINE void store(float* p, f32x16 x) {
  std::memcpy(p, &x, sizeof x);
}
KVASIR_INLINE f32x16 load_part(const float* p, int count) {
  f32x16 x = zeros();
  std::memcpy(&x, p, count * sizeof(float));
  return x;
}
KVASIR_INLINE void store_part(float* p, f32x16 x, int count) {
  std::memcpy(p, &x, count * sizeof(float));
}

KVASIR_INLINE f32x16 operator+(f32x16 a, f32x16 b) {
  return each<f32x16>([&](int i) { return a.part[i] + b.part[i]; });
}
KVASIR_INLINE f32x16 operator-(f32x16 a, f32x16 b) {
  return each<f32x16>([&](int i) { return a.part[i] - b.part[i]; });
}
KVASIR_INLINE f32x16 operator*(f32x16 a, f32x16 b) {
  return each<f32x16>([&](int i) { return a.part[i] * b.part[i]; });
}
KVASIR_INLINE f32x16 operator/(f32x16 a, f32x16 b) {
  return each<f32x16>([&](int i) { return a.part[i] / b.part[i]; });
}
KVASIR_INLINE f32x16 fma(f32x16 a, f32x16 b, f32x16 c) {
  return each<f32x16>([&](int i) { return a.part[i] * b.part[i] + c.part[i]; });
}
KVASIR_INLINE f32x16 min(f32x16 a, f32x16 b) {
  return each<f32x16>([&](int i) { return a.part[i] < b.part[i] ? a.part[i] : b.part[i]; });
}
KVASIR_INLINE f32x16 max(f32x16 a, f32x16 b) {
  return each<f32x16>([&](int i) { return a.part[i] > b.part[i] ? a.part[i] : b.part[i]; });
}

KVASIR_INLINE i32x16 splat_i32(int32_t x) {
  return each<i32x16>([=](int) { return i32x4{x, x, x, x}; });
}
// Modulo 2^32, as the instructions are.
KVASIR_INLINE i32x16 operator+(i32x16 a, i32x16 b) {
  return each<i32x16>(
      [&](int i) { return reinterpret_cast<i32x4>(reinterpret_cast<u32x4>(a.part[i]) + reinterpret_cast<u32x4>(b.part[i])); });
}
KVASIR_INLINE i32x16 operator-(i32x16 a, i32x16 b) {
  return each<i32x16>(
      [&](int i) { return reinterpret_cast<i32x4>(reinterpret_cast<u32x4>(a.part[i]) - reinterpret_cast<u32x4>(b.part[i])); });
}
KVASIR_INLINE i32x16 operator&(i32x16 a, i32x16 b) {
  return each<i32x16>([&](int i) { return a.part[i] & b.part[i]; });
}
KVASIR_INLINE i32x16 max(i32x16 a, i32x16 b) {
  return each<i32x16>([&](int i) { return a.part[i] > b.part[i] ? a.part[i] : b.part[i]; });
}
template <int count>
KVASIR_INLINE i32x16 shift_left_i32(i32x16 x) {
  return each<i32x16>([&](int i) { return x.part[i] << count; });
}
template <int count>
KVASIR_INLINE i32x16 shift_right(i32x16 x) {
  return each<i32x16>([&](int i) { return x.part[i] >> count; });
}
KVASIR_INLINE f32x16 to_f32(i32x16 x) {
  return each<f32x16>([&](int i) { return __builtin_convertvector(x.part[i], f32x4); });
}
KVASIR_INLINE i32x16 bits(f32x16 x) {
  return each<i32x16>([&](int i) { return reinterpret_cast<i32x4>(x.part[i]); });
}
KVASIR_INLINE f32x16 from_bits(i32x16 x) {
  return each<f32x16>([&](int i) { return reinterpret_cast<f32x4>(x.part[i]); });
}
// Adding 1.5 * 2^23 leaves the rounded integer in the low bits.
KVASIR_INLINE f32x16 round_even(f32x16 x) {
  return (x + splat(12582912.0f)) - splat(12582912.0f);
}
KVASIR_INLINE i32x16 to_i32(f32x16 x) {
  const i32x16 shifted = bits(x + splat(12582912.0f));
  return each<i32x16>([&](int i) { return reinterpret_cast<i32x4>(reinterpret_cast<u32x4>(shifted.part[i]) - 0x4b400000u); });
}
KVASIR_INLINE f32x16 power_of_two(i32x16 n) {
  return each<f32x16>([&](int i) { return reinterpret_cast<f32x4>((reinterpret_cast<u32x4>(n.part[i]) + 127u) << 23); });
}
// Lane i is x where first <= i < last, else y.
KVASIR_INLINE f32x16 select_range(int first, int last, f32x16 x, f32x16 y) {
  return each<f32x16>([&](int i) {
    const i32x4 lane = i32x4{0, 1, 2, 3} + 4 * i;
    return ((lane >= first) & (lane < last)) ? x.part[i] : y.part[i];
  });
}

KVASIR_INLINE float sum(f32x16 x) {
  const f32x4 four = (x.part[0] + x.part[2]) + (x.part[1] + x.part[3]);
  return (four[0] + four[2]) + (four[1] + four[3]);
}
KVASIR_INLINE float largest(f32x16 x) {
  float result = x.part[0][0];
  for (int i = 0; i < 16; ++i) result = x.part[i / 4][i % 4] > result ? x.part[i / 4][i % 4] : result;
  return result;
}
KVASIR_INLINE int32_t largest(i32x16 x) {
  int32_t result = x.part[0][0];
  for (int i = 0; i < 16; ++i) result = x.part[i / 4][i % 4] > result ? x.part[i / 4][i % 4] : result;
  return result;
}
KVASIR_INLINE int32_t sum(i32x16 x) {
  const i32x4 four = x.part[0] + x.part[1] + x.part[2] + x.part[3];
  return four[0] + four[1] + four[2] + four[3];
}

// Scaling by 2^112 rebiases the exponent, subnormals included; what was infinite or NaN gets the largest exponent.
KVASIR_INLINE f32x16 load_f16(const void* p) {
  return each<f32x16>([=](int i) {
    const u32x4 half = __builtin_convertvector(load_as<u16x4>(static_cast<const uint8_t*>(p) + 8 * i), u32x4), magnitude = half & 0x7fffu;
    const u32x4 scaled = reinterpret_cast<u32x4>(reinterpret_cast<f32x4>(magnitude << 13) * 0x1p112f);
    const u32x4 special = reinterpret_cast<u32x4>(magnitude >= 0x7c00u) & 0x7f800000u;
    return reinterpret_cast<f32x4>(scaled | special | ((half & 0x8000u) << 16));
  });
}
KVASIR_INLINE f32x16 load_bf16(const void* p) {
  return each<f32x16>([=](int i) {
    return reinterpret_cast<f32x4>(__builtin_convertvector(load_as<u16x4>(static_cast<const uint8_t*>(p) + 8 * i), u32x4) << 16);
  });
}
KVASIR_INLINE void store_f16(void* p, f32x16 x) {
  uint16_t halves[16];
  for (int i = 0; i < 16; ++i) halves[i] = f32_to_f16(x.part[i / 4][i % 4]);
  std::memcpy(p, halves, sizeof halves);
}
KVASIR_INLINE f32x16 bf16_rounded(f32x16 x) {
  return each<f32x16>([&](int i) {
    const u32x4 wide = reinterpret_cast<u32x4>(x.part[i]), rounded = (wide + 0x7fffu + ((wide >> 16) & 1u)) & 0xffff0000u;
    return x.part[i] == x.part[i] ? reinterpret_cast<f32x4>(rounded) : reinterpret_cast<f32x4>(wide | 0x7fc00000u);
  });
}
KVASIR_INLINE void store_bf16(void* p, f32x16 x) {
  const f32x16 rounded = bf16_rounded(x);
  for (int i = 0; i < 4; ++i) {
    const u16x4 upper = __builtin_convertvector(reinterpret_cast<u32x4>(rounded.part[i]) >> 16, u16x4);
    std::memcpy(static_cast<uint8_t*>(p) + 8 * i, &upper, 8);
  }
}

KVASIR_INLINE i32x16 load_u8(const uint8_t* p) {
  return each<i32x16>([=](int i) { return __builtin_convertvector(load_as<u8x4>(p + 4 * i), i32x4); });
}
// As the upper bits of a float32, 2^120 times too small; the product is exact. NaN would be 480, whose exponent becomes that of NaN.
KVASIR_INLINE f32x16 load_e4m3(const uint8_t* p) {
  const i32x16 byte = load_u8(p), magnitude = byte & splat_i32(0x7f), is_nan = (magnitude + splat_i32(1)) & splat_i32(0x80);
  const f32x16 value = from_bits(shift_left_i32<20>(magnitude) + shift_left_i32<24>(byte & splat_i32(0x80))) * splat(0x1p120f);
  return from_bits(bits(value) + shift_left_i32<23>(is_nan) - shift_left_i32<19>(is_nan));
}
KVASIR_INLINE i32x16 load_i8(const int8_t* p) {
  return each<i32x16>([=](int i) { return __builtin_convertvector(load_as<i8x4>(p + 4 * i), i32x4); });
}
KVASIR_INLINE i32x16 load_u16(const uint8_t* p) {
  return each<i32x16>([=](int i) { return __builtin_convertvector(load_as<u16x4>(p + 8 * i), i32x4); });
}
KVASIR_INLINE i32x16 load_i32(const uint8_t* p) {
  return each<i32x16>([=](int i) { return load_as<i32x4>(p + 16 * i); });
}
KVASIR_INLINE i32x16 shift_right_by(i32x16 x, int count) {
  return each<i32x16>([&](int i) { return x.part[i] >> count; });
}
KVASIR_INLINE void store_i8(int8_t* p, i32x16 x) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(x.part[i / 4][i % 4]);
}

KVASIR_INLINE u8x64 load_bytes(const uint8_t* p) {
  return each<u8x64>([=](int i) { return load_as<u8x16>(p + 16 * i); });
}
KVASIR_INLINE u8x64 splat_bytes(uint8_t x) {
  return each<u8x64>([=](int) { return u8x16{} + x; });
}
KVASIR_INLINE u8x64 operator&(u8x64 a, u8x64 b) {
  return each<u8x64>([&](int i) { return a.part[i] & b.part[i]; });
}
KVASIR_INLINE u8x64 operator|(u8x64 a, u8x64 b) {
  return each<u8x64>([&](int i) { return a.part[i] | b.part[i]; });
}
// Bits move between the two bytes of a pair: mask afterwards. A negative count shifts right.
template <int count>
KVASIR_INLINE u8x64 shift_left(u8x64 x) {
  return each<u8x64>([&](int i) {
    const u16x8 pairs = reinterpret_cast<u16x8>(x.part[i]);
    if constexpr (count >= 0) return reinterpret_cast<u8x16>(pairs << count);
    return reinterpret_cast<u8x16>(pairs >> -count);
  });
}
KVASIR_INLINE u8x64 lookup(const uint8_t* table, u8x64 u) {
  return each<u8x64>([&](int i) {
    u8x16 values;
    for (int lane = 0; lane < 16; ++lane) values[lane] = table[u.part[i][lane]];
    return values;
  });
}
// Byte `index` of each lane.
template <int index>
KVASIR_INLINE i32x16 byte_of_lane(u8x64 x) {
  return each<i32x16>([&](int i) { return reinterpret_cast<i32x4>((reinterpret_cast<u32x4>(x.part[i]) >> (8 * index)) & 255u); });
}

// Even and odd bytes apart as 16-bit numbers: a pair of products fits (2 * 127 * 127, 2 * 128 * 127), then the pairs of a lane are added.
inline constexpr int kDotBias = 0;
KVASIR_INLINE i32x4 dot_pairs(i32x4 acc, i16x8 even, i16x8 odd, const int8_t* x) {
  const int16_t a = x[0], b = x[1], c = x[2], d = x[3];
  const i16x8 pairs = even * i16x8{a, c, a, c, a, c, a, c} + odd * i16x8{b, d, b, d, b, d, b, d};
  const i32x4 low = reinterpret_cast<i32x4>(reinterpret_cast<u32x4>(pairs) << 16) >> 16, high = reinterpret_cast<i32x4>(pairs) >> 16;
  return acc + low + high;
}
KVASIR_INLINE i32x16 dot(i32x16 acc, u8x64 u, const int8_t* x) {
  return each<i32x16>([&](int i) {
    const u16x8 pairs = reinterpret_cast<u16x8>(u.part[i]);
    return dot_pairs(acc.part[i], reinterpret_cast<i16x8>(pairs & uint16_t(255)), reinterpret_cast<i16x8>(pairs >> 8), x);
  });
}
KVASIR_INLINE i32x16 dot_biased(i32x16 acc, u8x64 u, const int8_t* x) {
  return each<i32x16>([&](int i) {
    const u16x8 pairs = reinterpret_cast<u16x8>(u.part[i]);
    const i16x8 even = reinterpret_cast<i16x8>(pairs & uint16_t(255)) - int16_t(128),
                odd = reinterpret_cast<i16x8>(pairs >> 8) - int16_t(128);
    return dot_pairs(acc.part[i], even, odd, x);
  });
}

inline constexpr bool kHasBf16Dot = false;
KVASIR_INLINE f32x16 dot_bf16(f32x16 acc, i32x16, int32_t) {
  return acc;
}

inline constexpr int kTileRows = 4;

}  // namespace kvasir::cpu::KVASIR_ISA
