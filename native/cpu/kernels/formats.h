#pragma once
// The unpacking trait of each weight format: how a panel of quant/pack.h becomes vectors. Everything else is written once over them.
//
// A quantized format F has
//   group<j>(quants)     levels of the j-th 4 k of a block, 16 rows; where levels stand for other numbers (IQ4, MXFP4): those
//   kScales              scales (and mins) of a block: 1, or 2 of 16 k each
//   kOffset, kMin        value = scale * (level - kOffset), or scale * level - min
//   scales(panel, block) those vectors
//   kDotOffset, dot      the integer product of levels and x, and what it counts too much: sum of level * x - kDotOffset * sum of x
// F8_E4M3 has groups of bits and scales alone: value = scale * e4m3(bits).
#include "cpu/kernels/format_parts.h"

namespace kvasir::cpu::KVASIR_ISA {

struct Q8_0 : BiasedFormat {
  static constexpr DType kType = DType::Q8_0;
  template <int j>
  KVASIR_INLINE static u8x64 group(const uint8_t* quants) {
    return load_bytes(quants + j * 64);
  }
  KVASIR_INLINE static Scales scales(const Panel& panel, int block) { return f16_scales(panel, block); }
};

struct Q4_0 : Format {
  static constexpr DType kType = DType::Q4_0;
  static constexpr int kOffset = 8, kDotOffset = 8;
  template <int j>
  KVASIR_INLINE static u8x64 group(const uint8_t* quants) {
    return nibbles<j>(quants);
  }
  KVASIR_INLINE static Scales scales(const Panel& panel, int block) { return f16_scales(panel, block); }
};

struct Q4_1 : MinFormat {
  static constexpr DType kType = DType::Q4_1;
  template <int j>
  KVASIR_INLINE static u8x64 group(const uint8_t* quants) {
    return nibbles<j>(quants);
  }
  KVASIR_INLINE static Scales scales(const Panel& panel, int block) { return f16_scales_and_sums(panel, block); }
};

struct Q5_0 : Format {
  static constexpr DType kType = DType::Q5_0;
  static constexpr int kOffset = 16, kDotOffset = 16;
  template <int j>
  KVASIR_INLINE static u8x64 group(const uint8_t* quants) {
    return five_bits<j>(quants);
  }
  KVASIR_INLINE static Scales scales(const Panel& panel, int block) { return f16_scales(panel, block); }
};

struct Q5_1 : MinFormat {
  static constexpr DType kType = DType::Q5_1;
  template <int j>
  KVASIR_INLINE static u8x64 group(const uint8_t* quants) {
    return five_bits<j>(quants);
  }
  KVASIR_INLINE static Scales scales(const Panel& panel, int block) { return f16_scales_and_sums(panel, block); }
};

struct Q2_K : MinFormat {
  static constexpr DType kType = DType::Q2_K;
  static constexpr int kScales = 2;
  template <int j>
  KVASIR_INLINE static u8x64 group(const uint8_t* quants) {
    return two_bits<j>(quants);
  }
  KVASIR_INLINE static Scales scales(const Panel& panel, int block) {
    const uint8_t *packed = panel.scales + block * 32, *super = panel.supers + (block / 8) * 64;
    const i32x16 first = load_u8(packed), second = load_u8(packed + 16), low = splat_i32(15);
    const f32x16 d = load_f16(super), dmin = load_f16(super + 32);
    return {{d * to_f32(first & low), d * to_f32(second & low)},
            {dmin * to_f32(shift_right<4>(first)), dmin * to_f32(shift_right<4>(second))}};
  }
};

struct Q3_K : Format {
  static constexpr DType kType = DType::Q3_K;
  static constexpr int kOffset = 4, kDotOffset = 4, kScales = 2;
  template <int j>
  KVASIR_INLINE static u8x64 group(const uint8_t* quants) {
    return two_bits<j>(quants) | upper_bit<j, 2>(quants + 128);
  }
  KVASIR_INLINE static Scales scales(const Panel& panel, int block) {
    const uint8_t* super = panel.supers + (block / 8) * 96;
    const Pair pair = pair_of_six_bits(panel.scales + block * 16, super + 32, block % 8);
    const f32x16 d = load_f16(super);
    return {{d * to_f32(pair.first - splat_i32(32)), d * to_f32(pair.second - splat_i32(32))}, {zeros(), zeros()}};
  }
};

struct Q4_K : MinFormat {
  static constexpr DType kType = DType::Q4_K;
  template <int j>
  KVASIR_INLINE static u8x64 group(const uint8_t* quants) {
    return nibbles<j>(quants);
  }
  KVASIR_INLINE static Scales scales(const Panel& panel, int block) {
    const uint8_t *packed = panel.scales + block * 32, *super = panel.supers + (block / 8) * 64;
    return one_scale(load_f16(super) * to_f32(load_u8(packed)), load_f16(super + 32) * to_f32(load_u8(packed + 16)));
  }
};

struct Q5_K : MinFormat {
  static constexpr DType kType = DType::Q5_K;
  template <int j>
  KVASIR_INLINE static u8x64 group(const uint8_t* quants) {
    return five_bits<j>(quants);
  }
  KVASIR_INLINE static Scales scales(const Panel& panel, int block) {
    const uint8_t* super = panel.supers + (block / 8) * 128;
    const Pair pair = pair_of_six_bits(panel.scales + block * 16, super + 64, block % 8);
    return one_scale(load_f16(super) * to_f32(pair.first), load_f16(super + 32) * to_f32(pair.second));
  }
};

struct Q6_K : Format {
  static constexpr DType kType = DType::Q6_K;
  static constexpr int kOffset = 32, kDotOffset = 32, kScales = 2;
  template <int j>
  KVASIR_INLINE static u8x64 group(const uint8_t* quants) {
    return nibbles<j>(quants) | (shift_left<4 - 2 * (j % 4)>(load_bytes(quants + 256 + (j / 4) * 64)) & splat_bytes(0x30));
  }
  KVASIR_INLINE static Scales scales(const Panel& panel, int block) {
    const int8_t* packed = reinterpret_cast<const int8_t*>(panel.scales) + block * 32;
    const f32x16 d = load_f16(panel.supers + (block / 8) * 32);
    return {{d * to_f32(load_i8(packed)), d * to_f32(load_i8(packed + 16))}, {zeros(), zeros()}};
  }
};

struct IQ4_NL : BiasedFormat {
  static constexpr DType kType = DType::IQ4_NL;
  template <int j>
  KVASIR_INLINE static u8x64 group(const uint8_t* quants) {
    return lookup(quant::kIq4.of, nibbles<j>(quants));
  }
  KVASIR_INLINE static Scales scales(const Panel& panel, int block) { return f16_scales(panel, block); }
};

struct IQ4_XS : BiasedFormat {
  static constexpr DType kType = DType::IQ4_XS;
  template <int j>
  KVASIR_INLINE static u8x64 group(const uint8_t* quants) {
    return lookup(quant::kIq4.of, nibbles<j>(quants));
  }
  KVASIR_INLINE static Scales scales(const Panel& panel, int block) {
    const uint8_t* super = panel.supers + (block / 8) * 128;
    const i32x16 low = shift_right_by(load_i32(super + 32), block % 8 * 4) & splat_i32(15),
                 high = shift_right_by(load_u16(super + 96), block % 8 * 2) & splat_i32(3);
    return one_scale(load_f16(super) * to_f32(low + shift_left_i32<4>(high) - splat_i32(32)));
  }
};

struct MXFP4 : Format {
  static constexpr DType kType = DType::MXFP4;
  static constexpr int kOffset = quant::kE2m1Offset, kDotOffset = quant::kE2m1Offset;
  template <int j>
  KVASIR_INLINE static u8x64 group(const uint8_t* quants) {
    return lookup(quant::kE2m1.of, nibbles<j>(quants));
  }
  // Levels are twice the values: 2^(e - 128), in two factors because the least ones are subnormal; 2^127 becomes NaN.
  KVASIR_INLINE static Scales scales(const Panel& panel, int block) {
    const i32x16 e = load_u8(panel.scales + block * 16), power = e - splat_i32(128), half = shift_right<1>(power);
    const i32x16 is_nan = shift_right<8>(e + splat_i32(1));
    const i32x16 scale = bits(power_of_two(half) * power_of_two(power - half));
    return one_scale(from_bits(scale + shift_left_i32<22>(is_nan) + shift_left_i32<23>(is_nan)));
  }
};

struct F8_E4M3 {
  static constexpr DType kType = DType::F8_E4M3;
  static constexpr int kScales = 1;
  template <int j>
  KVASIR_INLINE static u8x64 group(const uint8_t* quants) {
    return load_bytes(quants + j * 64);
  }
  KVASIR_INLINE static Scales scales(const Panel& panel, int block) {
    return one_scale(load(reinterpret_cast<const float*>(panel.scales + block / 2 * 64)));
  }
};

// The dense formats: 16 rows of one k at a time, the j-th of the kGroup k that stand side by side.
struct F32 {
  static constexpr DType kType = DType::F32;
  static constexpr int kGroup = 1;
  template <int j>
  KVASIR_INLINE static f32x16 load16(const uint8_t* group) {
    return load(reinterpret_cast<const float*>(group));
  }
};
struct F16 {
  static constexpr DType kType = DType::F16;
  static constexpr int kGroup = 1;
  template <int j>
  KVASIR_INLINE static f32x16 load16(const uint8_t* group) {
    return load_f16(group);
  }
};
struct BF16 {
  static constexpr DType kType = DType::BF16;
  static constexpr int kGroup = 2;
  template <int j>
  KVASIR_INLINE static f32x16 load16(const uint8_t* group) {
    const i32x16 pairs = load_i32(group);
    return from_bits(j == 0 ? shift_left_i32<16>(pairs) : pairs & splat_i32(-0x10000));
  }
};

// Calls f with the trait of a type.
template <class Function>
KVASIR_INLINE auto with_format(DType type, const Function& f) {
  switch (type) {
    case DType::F32:
      return f(F32());
    case DType::F16:
      return f(F16());
    case DType::BF16:
      return f(BF16());
    case DType::Q8_0:
      return f(Q8_0());
    case DType::Q4_0:
      return f(Q4_0());
    case DType::Q4_1:
      return f(Q4_1());
    case DType::Q5_0:
      return f(Q5_0());
    case DType::Q5_1:
      return f(Q5_1());
    case DType::Q2_K:
      return f(Q2_K());
    case DType::Q3_K:
      return f(Q3_K());
    case DType::Q4_K:
      return f(Q4_K());
    case DType::Q5_K:
      return f(Q5_K());
    case DType::Q6_K:
      return f(Q6_K());
    case DType::IQ4_NL:
      return f(IQ4_NL());
    case DType::IQ4_XS:
      return f(IQ4_XS());
    case DType::MXFP4:
      return f(MXFP4());
    default:
      return f(F8_E4M3());
  }
}

}  // namespace kvasir::cpu::KVASIR_ISA
