#pragma once
// A panel of weights (quant/pack.h) of any format, exactly dequantized: written once over the traits.
#include <utility>

#include "cpu/kernels/formats.h"

namespace kvasir::cpu::KVASIR_ISA {

template <class F>
KVASIR_INLINE Panel sections(const uint8_t* panel, int cols) {
  constexpr quant::Sections size = quant::sections(F::kType);
  const int64_t blocks = cols / quant::kBlock;
  return {panel, panel + blocks * size.quants(), panel + blocks * (size.quants() + size.scales)};
}

template <class F>
inline constexpr int kQuantBytes = quant::sections(F::kType).quants();  // of a block
template <class F>
inline constexpr int kBlockBytes = kQuantBytes<F> + quant::sections(F::kType).scales + quant::sections(F::kType).supers / 8;
template <class F>
inline constexpr int kGroupBytes = 16 * F::kGroup* kDTypes[static_cast<int>(F::kType)].bytes;  // of a dense format's group of k

// The j-th 4 k of a block, exactly dequantized, as 4 vectors of 16 rows.
template <class F, int j>
KVASIR_INLINE void unpack_group(const uint8_t* quants, const Scales& scales, float* values) {
  const u8x64 levels = F::template group<j>(quants);
  constexpr int part = j * F::kScales / 8;
  const f32x16 scale = scales.scale[part];
  const auto value = [&](i32x16 level) {
    if constexpr (F::kType == DType::F8_E4M3) {
      return e4m3(level) * scale;
    } else if constexpr (F::kMin) {
      return to_f32(level) * scale - scales.min[part];
    } else {
      return to_f32(level - splat_i32(F::kOffset)) * scale;
    }
  };
  store(values, value(byte_of_lane<0>(levels)));
  store(values + 16, value(byte_of_lane<1>(levels)));
  store(values + 32, value(byte_of_lane<2>(levels)));
  store(values + 48, value(byte_of_lane<3>(levels)));
}

// Elements k in [first, first + count) of a panel as float32 [count][16]: whole blocks of a quantized format, whole groups of a dense one.
template <class F>
KVASIR_INLINE void unpack(const uint8_t* panel, int cols, int first, int count, float* tile) {
  if constexpr (!is_quantized(F::kType)) {
    for (int k = 0; k < count; k += F::kGroup) {
      const uint8_t* group = panel + static_cast<int64_t>(first + k) / F::kGroup * kGroupBytes<F>;
      [&]<int... j>(std::integer_sequence<int, j...>) {
        (store(tile + (k + j) * 16, F::template load16<j>(group)), ...);
      }
      (std::make_integer_sequence<int, F::kGroup>());
    }
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

}  // namespace kvasir::cpu::KVASIR_ISA
