#pragma once
// How the CUDA back end keeps a matrix [N, K]: repacked at load (on the device) so that a lane's share of a tile of 16 rows and 64 k comes
// in whole 16-byte loads (of 16 bits by ldmatrix), in the order in which the tensor cores' operand A wants it.
//
// Panels of 16 rows, each K / 64 chunks (rounded up; what is beyond N or K is zero). Four chunks (256 k) and their super-scales are a group,
// whose bytes lie together; the last group of a panel may have fewer chunks. In a chunk, lane
// l = (r mod 8) * 4 + t has rows g = l / 4 and g + 8, in four steps s of 16 k (mma.m16n8k16). Its 8 values of a step are (register, half):
// register 0 row g, 1 row g + 8, both k of j = 0, 1 (half); 2 and 3 the same rows, j = 2, 3. Which k that is, is the layout's own choice
// (operand B follows it), made so that a lane reads x in 16 bytes:
//
//   k = 32 b + kk:  t = kk / 8, s = 2 b + kk mod 8 / 4, j = kk mod 4
//
//   Q4_0, Q4_K   512 bytes  word s of a lane: 8 nibbles, that of (register, half) at bit 4 * (register + 4 * half)
//   Q5_0         + 128      a word of a lane: bit 4 of its level at bit register + 4 s + 16 * half
//   Q6_K         + 256      two words of a lane: bits 4, 5 of its level at bit 2 * register + 8 * (s mod 2) + 16 * half of word s / 2
//   Q8_0        1024        8 bytes a step (value + 128), that of (register, half) at byte 2 * register + half; steps 2 b, 2 b + 1 together
//   F8_E4M3     1024        the same, of the elements' bits
//   BF16, F16   2048        512 bytes a step: of each register the 4 bytes of lane after lane, 8 x 8 matrices of which wgmma reads operand A as
//                           it lies (matmul_prompt_bf16.cu)
//   scales                  for each block of 32 (Q6_K: 16) a pair for the rows g, g + 8: float16; Q4_K 2 x (scale, min); Q6_K int8;
//                           F8_E4M3 for the chunk's 64, float32
//   supers                  of a group: Q4_K (d, dmin), Q6_K d, float16, for each of 16 rows
//
// Bits are kept; the size is that of the file, Q4_K 2.8 % more. The other types keep their rows as they are in the file, and run on the plain
// kernels (cuda/kernels/formats.cuh).
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "cuda/e4m3.cuh"
#include "cuda/weight.h"

namespace kvasir::cuda {

inline constexpr int kChunk = 64;
inline constexpr int kGroup = 256;
inline constexpr int kGroupChunks = kGroup / kChunk;
inline constexpr int kPanelRows = 16;

struct PackedSizes {
  int quants;  // bytes of a chunk's levels, all sections
  int scales;  // bytes of a chunk's scales
  int supers;  // bytes of a group's super-scales
};

__host__ __device__ constexpr PackedSizes packed_sizes(DType type) {
  switch (type) {
    case DType::BF16:
    case DType::F16:
      return {2048, 0, 0};
    case DType::Q8_0:
    case DType::F8_E4M3:
      return {1024, 64, 0};
    case DType::Q4_0:
      return {512, 64, 0};
    case DType::Q5_0:
      return {640, 64, 0};
    case DType::Q4_K:
      return {512, 64, 64};
    case DType::Q6_K:
      return {768, 64, 32};
    default:
      return {0, 0, 0};  // not packed
  }
}

__host__ __device__ constexpr bool is_packed(DType type) {
  return packed_sizes(type).quants > 0;
}

__host__ __device__ constexpr bool is_half(DType type) {
  return type == DType::BF16 || type == DType::F16;
}

// Of a byte an element, levels or not.
__host__ __device__ constexpr bool has_bytes(DType type) {
  return type == DType::Q8_0 || type == DType::F8_E4M3;
}

__host__ __device__ constexpr int chunk_bytes(DType type) {
  return packed_sizes(type).quants + packed_sizes(type).scales;
}

__host__ __device__ constexpr int group_bytes(DType type) {
  return kGroupChunks * chunk_bytes(type) + packed_sizes(type).supers;
}

__host__ __device__ constexpr int chunks_of(int cols) {
  return (cols + kChunk - 1) / kChunk;
}

__host__ __device__ constexpr int panels_of(int rows) {
  return (rows + kPanelRows - 1) / kPanelRows;
}

// Bytes from one panel to the next.
__host__ __device__ constexpr int64_t packed_panel_bytes(DType type, int cols) {
  const int groups = chunks_of(cols) / kGroupChunks, rest = chunks_of(cols) % kGroupChunks;
  return int64_t(groups) * group_bytes(type) + (rest > 0 ? rest * chunk_bytes(type) + packed_sizes(type).supers : 0);
}

// Where the level of (row r of the panel, k) is.
struct Place {
  int chunk, lane, step, reg, half;
};

__device__ inline Place place_of(int r, int k) {
  const int in_chunk = k % kChunk, t = in_chunk % 32 / 8, j = in_chunk % 4;
  return {k / kChunk, r % 8 * 4 + t, in_chunk / 32 * 2 + in_chunk % 8 / 4, j / 2 * 2 + r / 8, j % 2};
}

__device__ inline float half_bits(uint16_t bits) {
  return __half2float(__ushort_as_half(bits));
}

// One element, exactly dequantized; F8_E4M3's product has one rounding, to float32, here and wherever it is taken.
template <DType type>
__device__ float packed_element(const uint8_t* panel, int r, int k) {
  const Place at = place_of(r, k);
  const uint8_t *group = panel + int64_t(k / kGroup) * group_bytes(type), *chunk = group + at.chunk % kGroupChunks * chunk_bytes(type),
                *scales = chunk + packed_sizes(type).quants;
  const uint32_t* words = reinterpret_cast<const uint32_t*>(chunk);
  const int pair = (r % 8) * 2 + r / 8, block = k % kChunk / 32;
  if constexpr (is_half(type)) {
    const uint16_t bits = reinterpret_cast<const uint16_t*>(chunk + at.step * 512 + at.reg * 128 + at.lane * 4)[at.half];
    return type == DType::F16 ? half_bits(bits) : __uint_as_float(static_cast<uint32_t>(bits) << 16);
  } else if constexpr (has_bytes(type)) {
    const int byte = chunk[at.step / 2 * 512 + at.lane * 16 + at.step % 2 * 8 + at.reg * 2 + at.half];
    if constexpr (type == DType::F8_E4M3) return __fmul_rn(e4m3_pair(byte).x, reinterpret_cast<const float*>(scales)[pair]);
    return static_cast<float>(byte - 128) * half_bits(reinterpret_cast<const uint16_t*>(scales)[block * 16 + pair]);
  } else {
    int level = words[at.lane * 4 + at.step] >> 4 * (at.reg + 4 * at.half) & 15;
    if constexpr (type == DType::Q5_0) level |= (words[128 + at.lane] >> (at.reg + 4 * at.step + 16 * at.half) & 1) << 4;
    if constexpr (type == DType::Q6_K) {
      level |= (words[128 + at.lane * 2 + at.step / 2] >> (2 * at.reg + 8 * (at.step % 2) + 16 * at.half) & 3) << 4;
    }
    const auto* super = reinterpret_cast<const uint16_t*>(group + kGroupChunks * chunk_bytes(type));
    if constexpr (type == DType::Q4_K) {
      const uint8_t* own = scales + block * 32 + pair * 2;
      return static_cast<float>(level) * (half_bits(super[pair * 2]) * own[0]) - half_bits(super[pair * 2 + 1]) * own[1];
    } else if constexpr (type == DType::Q6_K) {
      const float scale = half_bits(super[pair]) * static_cast<float>(reinterpret_cast<const int8_t*>(scales)[k % kChunk / 16 * 16 + pair]);
      return static_cast<float>(level - 32) * scale;
    } else {
      const float scale = half_bits(reinterpret_cast<const uint16_t*>(scales)[block * 16 + pair]);
      return static_cast<float>(level - (type == DType::Q5_0 ? 16 : 8)) * scale;
    }
  }
}

}  // namespace kvasir::cuda
