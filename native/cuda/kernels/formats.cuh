#pragma once
// The elements of a matrix in device memory, whatever its type: packed ones (cuda/packed.cuh), and those that lie as they are in the file
// (quant/blocks.h), which are decoded one by one.
#include "cuda/packed.cuh"
#include "quant/blocks.h"

namespace kvasir::cuda {

__device__ inline uint16_t file_half(const uint8_t* bytes) {
  return static_cast<uint16_t>(bytes[0] | bytes[1] << 8);  // blocks are aligned to 2 bytes at most
}
__device__ inline float file_float(const uint8_t* half) {
  return half_bits(file_half(half));
}

// The block of element k of a row.
template <DType type>
__device__ inline const uint8_t* file_block(const uint8_t* row, int k) {
  constexpr DTypeInfo own = kDTypes[static_cast<int>(type)];
  return row + int64_t(k / own.block) * own.bytes;
}

// The level of element k of a row: biased to be positive, as cuda/packed.cuh keeps it.
template <DType type>
__device__ inline int file_level(const uint8_t* row, int k) {
  constexpr int block = kDTypes[static_cast<int>(type)].block;
  return quant::level<type>(file_block<type>(row, k), k % block);
}

// Element k of a row, exactly dequantized: of a type that is never packed.
template <DType type>
__device__ inline float other_element(const uint8_t* row, int k) {
  const uint8_t* block = file_block<type>(row, k);
  const int level = file_level<type>(row, k), sub = k % 256 / 32, half_sub = k % 256 / 16;
  if constexpr (type == DType::Q4_1 || type == DType::Q5_1) {
    return file_float(block) * level + file_float(block + 2);
  } else if constexpr (type == DType::Q2_K) {
    return file_float(block + 80) * (block[half_sub] & 15) * level - file_float(block + 82) * (block[half_sub] >> 4);
  } else if constexpr (type == DType::Q3_K) {
    return file_float(block + 108) * (quant::scale_of_16(block + 96, half_sub) - 32) * (level - 4);
  } else if constexpr (type == DType::Q5_K) {
    return file_float(block) * quant::scale_of_32(block + 4, sub) * level - file_float(block + 2) * quant::min_of_32(block + 4, sub);
  } else if constexpr (type == DType::MXFP4) {
    constexpr quant::Values values = quant::kE2m1;  // twice the elements
    return block[0] == 255 ? __uint_as_float(0x7fc00000u) : ldexpf(values.of[level] - quant::kE2m1Offset, block[0] - 128);
  } else {
    constexpr quant::Values values = quant::kIq4;
    const int scale = type == DType::IQ4_XS ? quant::scale_of_iq4_xs(block, sub) - 32 : 1;
    return file_float(block) * scale * (values.of[level] - quant::kIq4Offset);
  }
}

// Of the block of 32 (Q6_K: 16) elements that k is in: an element is scale * (level - level_offset(type)) + min.
struct BlockValues {
  float scale = 0, min = 0;
};
template <DType type>
__device__ inline BlockValues block_values(const uint8_t* row, int k) {
  static_assert(is_scaled(type));
  const uint8_t* block = file_block<type>(row, k);
  if constexpr (type == DType::Q4_K) {
    const int sub = k % 256 / 32;
    return {file_float(block) * quant::scale_of_32(block + 4, sub), -(file_float(block + 2) * quant::min_of_32(block + 4, sub))};
  } else if constexpr (type == DType::Q6_K) {
    return {file_float(block + 208) * reinterpret_cast<const int8_t*>(block + 192)[k % 256 / 16]};
  } else {
    return {file_float(block)};
  }
}

// Element k of a row of the file, exactly dequantized; F8_E4M3 is rounded to float32.
template <DType type>
__device__ inline float file_element(const uint8_t* row, int k) {
  if constexpr (type == DType::F32) {
    return reinterpret_cast<const float*>(row)[k];
  } else if constexpr (is_scaled(type)) {
    const BlockValues own = block_values<type>(row, k);
    return static_cast<float>(file_level<type>(row, k) - level_offset(type)) * own.scale + own.min;
  } else if constexpr (is_half(type)) {
    const uint16_t bits = reinterpret_cast<const uint16_t*>(row)[k];
    return type == DType::F16 ? half_bits(bits) : bfloat16_bits(bits);
  } else if constexpr (type == DType::F8_E4M3) {
    return __fmul_rn(e4m3_pair(file_level<type>(row, k)).x, *reinterpret_cast<const float*>(file_block<type>(row, k)));
  } else {
    return other_element<type>(row, k);
  }
}

// Element k of a row of the matrix.
template <DType type>
__device__ inline float element(const WeightView& weight, int row, int k) {
  if constexpr (is_packed(type)) {
    if (weight.packed) return packed_element<type>(weight.data + row / kPanelRows * weight.stride, row % kPanelRows, k);
  }
  return file_element<type>(weight.data + row * weight.stride, k);
}

}  // namespace kvasir::cuda
