#pragma once
// The blocks of GGUF files, as they are in the file: levels and scales of one row (quant/pack.cc reads the same bytes on the host). Needed
// once, for repacking.
#include "cuda/packed.cuh"

namespace kvasir::cuda {

// The level of element k: biased to be positive, as cuda/packed.cuh keeps it.
template <DType type>
__device__ inline int file_level(const uint8_t* row, int k) {
  if constexpr (type == DType::Q8_0) {
    return (row[k / 32 * 34 + 2 + k % 32]) ^ 0x80;
  } else if constexpr (type == DType::Q4_0) {
    return row[k / 32 * 18 + 2 + k % 16] >> (k % 32 < 16 ? 0 : 4) & 15;
  } else if constexpr (type == DType::Q5_0) {
    const uint8_t* block = row + k / 32 * 22;
    const int place = k % 32;
    return (block[6 + place % 16] >> (place < 16 ? 0 : 4) & 15) | (block[2 + place / 8] >> place % 8 & 1) << 4;
  } else if constexpr (type == DType::Q4_K) {
    const int sub = k % 256 / 32;
    return row[k / 256 * 144 + 16 + sub / 2 * 32 + k % 32] >> 4 * (sub % 2) & 15;
  } else {
    static_assert(type == DType::Q6_K);
    const uint8_t* block = row + k / 256 * 210;
    const int half = k % 256 / 128, quarter = k % 128 / 32, i = k % 32;
    return (block[half * 64 + quarter % 2 * 32 + i] >> 4 * (quarter / 2) & 15) | (block[128 + half * 32 + i] >> 2 * quarter & 3) << 4;
  }
}

__device__ inline uint16_t file_half(const uint8_t* bytes) {
  return static_cast<uint16_t>(bytes[0] | bytes[1] << 8);  // blocks are aligned to 2 bytes at most
}

// The scale and min of a Q4_K block's sub-block, 6 bits each.
__device__ inline int file_scale_q4_k(const uint8_t* packed, int sub) {
  return sub < 4 ? packed[sub] & 63 : (packed[sub + 4] & 15) | packed[sub - 4] >> 6 << 4;
}
__device__ inline int file_min_q4_k(const uint8_t* packed, int sub) {
  return sub < 4 ? packed[sub + 4] & 63 : packed[sub + 4] >> 4 | packed[sub] >> 6 << 4;
}

// Calls f with the type as a constant.
template <class Function>
auto with_type(DType type, const Function& f) {
  switch (type) {
    case DType::F32:
      return f(std::integral_constant<DType, DType::F32>());
    case DType::F16:
      return f(std::integral_constant<DType, DType::F16>());
    case DType::BF16:
      return f(std::integral_constant<DType, DType::BF16>());
    case DType::Q8_0:
      return f(std::integral_constant<DType, DType::Q8_0>());
    case DType::Q4_0:
      return f(std::integral_constant<DType, DType::Q4_0>());
    case DType::Q5_0:
      return f(std::integral_constant<DType, DType::Q5_0>());
    case DType::Q4_K:
      return f(std::integral_constant<DType, DType::Q4_K>());
    default:
      return f(std::integral_constant<DType, DType::Q6_K>());
  }
}

// Element k of a row of the matrix, whatever the layout.
template <DType type>
__device__ inline float element(const WeightView& weight, int row, int k) {
  if constexpr (type == DType::F32) {
    return reinterpret_cast<const float*>(weight.data + row * weight.stride)[k];
  } else {
    return packed_element<type>(weight.data + row / kPanelRows * weight.stride, row % kPanelRows, k);
  }
}

}  // namespace kvasir::cuda
