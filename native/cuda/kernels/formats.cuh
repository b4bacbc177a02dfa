#pragma once
// Elements of a weight's row in the layouts of GGUF's blocks (quant/pack.cc reads the same bytes on the host). The value is exact in float32
// but for its last multiplication, which rounds as the CPU's does.
#include <cuda_fp16.h>

#include "cuda/weight.h"

namespace kvasir::cuda {

__device__ inline float half_at(const uint8_t* bytes) {
  const unsigned short bits = static_cast<unsigned short>(bytes[0] | bytes[1] << 8);  // rows of blocks are aligned to 2 bytes at most
  return __half2float(__ushort_as_half(bits));
}

template <DType type>
__device__ float element(const uint8_t* row, int k);

template <>
__device__ inline float element<DType::F32>(const uint8_t* row, int k) {
  return reinterpret_cast<const float*>(row)[k];
}
template <>
__device__ inline float element<DType::F16>(const uint8_t* row, int k) {
  return __half2float(reinterpret_cast<const __half*>(row)[k]);
}
template <>
__device__ inline float element<DType::BF16>(const uint8_t* row, int k) {
  return __uint_as_float(static_cast<unsigned>(reinterpret_cast<const uint16_t*>(row)[k]) << 16);
}
template <>
__device__ inline float element<DType::Q8_0>(const uint8_t* row, int k) {
  const uint8_t* block = row + k / 32 * 34;
  return static_cast<float>(static_cast<int8_t>(block[2 + k % 32])) * half_at(block);
}
template <>
__device__ inline float element<DType::Q4_0>(const uint8_t* row, int k) {
  const uint8_t* block = row + k / 32 * 18;
  const int level = block[2 + k % 16] >> (k % 32 < 16 ? 0 : 4) & 15;
  return static_cast<float>(level - 8) * half_at(block);
}
template <>
__device__ inline float element<DType::Q5_0>(const uint8_t* row, int k) {
  const uint8_t* block = row + k / 32 * 22;
  const int place = k % 32, high = block[2 + place / 8] >> place % 8 & 1;
  const int level = (block[6 + place % 16] >> (place < 16 ? 0 : 4) & 15) | high << 4;
  return static_cast<float>(level - 16) * half_at(block);
}
template <>
__device__ inline float element<DType::Q4_K>(const uint8_t* row, int k) {
  const uint8_t *block = row + k / 256 * 144, *packed = block + 4;
  const int sub = k % 256 / 32;
  const int level = block[16 + sub / 2 * 32 + k % 32] >> 4 * (sub % 2) & 15;
  const int scale = sub < 4 ? packed[sub] & 63 : (packed[sub + 4] & 15) | packed[sub - 4] >> 6 << 4;
  const int min = sub < 4 ? packed[sub + 4] & 63 : packed[sub + 4] >> 4 | packed[sub] >> 6 << 4;
  return static_cast<float>(level) * (half_at(block) * static_cast<float>(scale)) - half_at(block + 2) * static_cast<float>(min);
}
template <>
__device__ inline float element<DType::Q6_K>(const uint8_t* row, int k) {
  const uint8_t* block = row + k / 256 * 210;
  const int place = k % 256, half = place / 128, quarter = place % 128 / 32, i = place % 32;
  const int low = block[half * 64 + quarter % 2 * 32 + i] >> 4 * (quarter / 2) & 15, high = block[128 + half * 32 + i] >> 2 * quarter & 3;
  const float scale = half_at(block + 208) * static_cast<float>(static_cast<int8_t>(block[192 + place / 16]));
  return static_cast<float>((low | high << 4) - 32) * scale;
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

}  // namespace kvasir::cuda
