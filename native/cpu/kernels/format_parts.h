#pragma once
// What the unpacking traits (formats.h) are made of.
#include "cpu/simd.h"
#include "quant/blocks.h"
#include "quant/pack.h"

namespace kvasir::cpu::KVASIR_ISA {

// Where the sections of one panel start.
struct Panel {
  const uint8_t* quants;
  const uint8_t* scales;
  const uint8_t* supers;
};

struct Scales {
  f32x16 scale[2];
  f32x16 min[2];
};

KVASIR_INLINE Scales one_scale(f32x16 scale, f32x16 min) {
  return {{scale, zeros()}, {min, zeros()}};
}
KVASIR_INLINE Scales one_scale(f32x16 scale) {
  return one_scale(scale, zeros());
}

template <int j>
KVASIR_INLINE u8x64 nibbles(const uint8_t* quants) {
  const u8x64 both = load_bytes(quants + (j % 4) * 64);
  return (j < 4 ? both : shift_left<-4>(both)) & splat_bytes(15);
}
template <int j>
KVASIR_INLINE u8x64 two_bits(const uint8_t* quants) {
  return shift_left<-2 * (j % 4)>(load_bytes(quants + (j / 4) * 64)) & splat_bytes(3);
}
// Bit j of a section of 1 bit, as bit `to`.
template <int j, int to>
KVASIR_INLINE u8x64 upper_bit(const uint8_t* section) {
  return shift_left<to - j>(load_bytes(section)) & splat_bytes(1 << to);
}

// A block's pair of 6-bit numbers: the lower 4 bits of each in a byte, the upper 2 in the words of its super-block.
struct Pair {
  i32x16 first, second;
};
KVASIR_INLINE Pair pair_of_six_bits(const uint8_t* low, const uint8_t* words, int sub) {
  const i32x16 both = load_u8(low), high = shift_right_by(load_i32(words), 4 * sub);
  return {(both & splat_i32(15)) + shift_left_i32<4>(high & splat_i32(3)), shift_right<4>(both) + shift_left_i32<2>(high & splat_i32(12))};
}

// Numbers of 1 sign, 4 exponent (bias 7) and 3 mantissa bits, none of them NaN. As the upper bits of a float32 they are 2^120 times too small;
// the product is exact, of subnormal ones too.
KVASIR_INLINE f32x16 e4m3(i32x16 byte) {
  const i32x16 magnitude = shift_left_i32<20>(byte & splat_i32(0x7f)), sign = shift_left_i32<24>(byte & splat_i32(0x80));
  return from_bits(magnitude + sign) * splat(0x1p120f);
}

struct Format {
  static constexpr int kScales = 1;
  static constexpr bool kMin = false;
  KVASIR_INLINE static i32x16 dot(i32x16 acc, u8x64 u, const int8_t* x) { return KVASIR_ISA::dot(acc, u, x); }
};

// Levels up to 255.
struct BiasedFormat : Format {
  static constexpr int kOffset = 128, kDotOffset = kDotBias;
  static_assert(quant::kIq4Offset == kOffset);
  KVASIR_INLINE static i32x16 dot(i32x16 acc, u8x64 u, const int8_t* x) { return dot_biased(acc, u, x); }
};

// Levels from 0 on, and a min.
struct MinFormat : Format {
  static constexpr int kOffset = 0, kDotOffset = 0;
  static constexpr bool kMin = true;
};

template <int j>
KVASIR_INLINE u8x64 five_bits(const uint8_t* quants) {
  return nibbles<j>(quants) | upper_bit<j, 4>(quants + 256);
}

// One float16 a row for each block.
KVASIR_INLINE Scales f16_scales(const Panel& panel, int block) {
  return one_scale(load_f16(panel.scales + block * 32));
}
// Two: d and m, where value = d * level + m.
KVASIR_INLINE Scales f16_scales_and_sums(const Panel& panel, int block) {
  const uint8_t* both = panel.scales + block * 64;
  return one_scale(load_f16(both), zeros() - load_f16(both + 32));
}

}  // namespace kvasir::cpu::KVASIR_ISA
