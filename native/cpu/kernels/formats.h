#pragma once
// The unpacking trait of each weight format: how a panel of quant/pack.h becomes vectors. Everything else is written once over them.
//
// A quantized format F has
//   group<j>(quants)     levels of the j-th 4 k of a block, 16 rows
//   kScales              scales of a block: 1, or 2 of 16 k each
//   kOffset, kMin        value = scale * (level - kOffset), or scale * level - min
//   scales(panel, block) those vectors
//   kDotOffset, dot      the integer product of levels and x, and what it counts too much: sum of level * x - kDotOffset * sum of x
#include <utility>

#include "cpu/packed_weight.h"
#include "cpu/simd.h"
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
  f32x16 min;
};

template <int j>
KVASIR_INLINE u8x64 nibbles(const uint8_t* quants) {
  const u8x64 both = load_bytes(quants + (j % 4) * 64);
  return (j < 4 ? both : shift_left<-4>(both)) & splat_bytes(15);
}

struct Format {
  static constexpr int kScales = 1;
  static constexpr bool kMin = false;
  KVASIR_INLINE static i32x16 dot(i32x16 acc, u8x64 u, const int8_t* x) { return KVASIR_ISA::dot(acc, u, x); }
};

// Formats whose scales are one float16 a row.
struct SimpleFormat : Format {
  KVASIR_INLINE static Scales scales(const Panel& panel, int block) { return {{load_f16(panel.scales + block * 32), zeros()}, zeros()}; }
};

struct Q8_0 : SimpleFormat {
  static constexpr DType kType = DType::Q8_0;
  static constexpr int kOffset = 128, kDotOffset = kDotBias;
  template <int j>
  KVASIR_INLINE static u8x64 group(const uint8_t* quants) {
    return load_bytes(quants + j * 64);
  }
  KVASIR_INLINE static i32x16 dot(i32x16 acc, u8x64 u, const int8_t* x) { return dot_biased(acc, u, x); }
};

struct Q4_0 : SimpleFormat {
  static constexpr DType kType = DType::Q4_0;
  static constexpr int kOffset = 8, kDotOffset = 8;
  template <int j>
  KVASIR_INLINE static u8x64 group(const uint8_t* quants) {
    return nibbles<j>(quants);
  }
};

struct Q5_0 : SimpleFormat {
  static constexpr DType kType = DType::Q5_0;
  static constexpr int kOffset = 16, kDotOffset = 16;
  template <int j>
  KVASIR_INLINE static u8x64 group(const uint8_t* quants) {
    return nibbles<j>(quants) | (shift_left<4 - j>(load_bytes(quants + 256)) & splat_bytes(16));
  }
};

struct Q4_K : Format {
  static constexpr DType kType = DType::Q4_K;
  static constexpr int kOffset = 0, kDotOffset = 0;
  static constexpr bool kMin = true;
  template <int j>
  KVASIR_INLINE static u8x64 group(const uint8_t* quants) {
    return nibbles<j>(quants);
  }
  KVASIR_INLINE static Scales scales(const Panel& panel, int block) {
    const uint8_t *packed = panel.scales + block * 32, *super = panel.supers + (block / 8) * 64;
    return {{load_f16(super) * to_f32(load_u8(packed)), zeros()}, load_f16(super + 32) * to_f32(load_u8(packed + 16))};
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
    return {{d * to_f32(load_i8(packed)), d * to_f32(load_i8(packed + 16))}, zeros()};
  }
};

// The dense formats: 16 elements at a time.
struct F32 {
  static constexpr DType kType = DType::F32;
  KVASIR_INLINE static f32x16 load16(const uint8_t* p) { return load(reinterpret_cast<const float*>(p)); }
};
struct F16 {
  static constexpr DType kType = DType::F16;
  KVASIR_INLINE static f32x16 load16(const uint8_t* p) { return load_f16(p); }
};
struct BF16 {
  static constexpr DType kType = DType::BF16;
  KVASIR_INLINE static f32x16 load16(const uint8_t* p) { return load_bf16(p); }
};

template <class F>
KVASIR_INLINE Panel sections(const uint8_t* panel, int cols) {
  constexpr quant::Sections size = quant::kSections[static_cast<int>(F::kType)];
  const int64_t blocks = cols / quant::kBlock;
  return {panel, panel + blocks * size.quants, panel + blocks * (size.quants + size.scales)};
}

template <class F>
inline constexpr int kQuantBytes = quant::kSections[static_cast<int>(F::kType)].quants;  // of a block
template <class F>
inline constexpr int kDenseBytes = 16 * kDTypes[static_cast<int>(F::kType)].bytes;  // of one k

// The j-th 4 k of a block, exactly dequantized, as 4 vectors of 16 rows.
template <class F, int j>
KVASIR_INLINE void unpack_group(const uint8_t* quants, const Scales& scales, float* values) {
  const u8x64 levels = F::template group<j>(quants);
  const f32x16 scale = scales.scale[j * F::kScales / 8];
  const auto value = [&](i32x16 level) {
    if constexpr (F::kMin) return to_f32(level) * scale - scales.min;
    return to_f32(level - splat_i32(F::kOffset)) * scale;
  };
  store(values, value(byte_of_lane<0>(levels)));
  store(values + 16, value(byte_of_lane<1>(levels)));
  store(values + 32, value(byte_of_lane<2>(levels)));
  store(values + 48, value(byte_of_lane<3>(levels)));
}

// Elements k in [first, first + count) of a panel as float32 [count][16]. Both are multiples of 32 for a quantized format.
template <class F>
KVASIR_INLINE void unpack(const uint8_t* panel, int cols, int first, int count, float* tile) {
  if constexpr (!is_quantized(F::kType)) {
    for (int k = 0; k < count; ++k) store(tile + k * 16, F::load16(panel + static_cast<int64_t>(first + k) * kDenseBytes<F>));
  } else {
    const Panel from = sections<F>(panel, cols);
    for (int block = 0; block < count / quant::kBlock; ++block) {
      const int64_t place = first / quant::kBlock + block;
      const Scales scales = F::scales(from, static_cast<int>(place));
      const uint8_t* quants = from.quants + place * kQuantBytes<F>;
      [&]<int... j>(std::integer_sequence<int, j...>) {
        (unpack_group<F, j>(quants, scales, tile + block * 512 + j * 64), ...);
      }
      (std::make_integer_sequence<int, 8>());
    }
  }
}

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
    case DType::Q5_0:
      return f(Q5_0());
    case DType::Q4_K:
      return f(Q4_K());
    default:
      return f(Q6_K());
  }
}

}  // namespace kvasir::cpu::KVASIR_ISA
