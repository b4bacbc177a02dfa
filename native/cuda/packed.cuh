#pragma once
// How the CUDA back end keeps a matrix [N, K]: repacked at load (on the device) so that a lane's share of a tile of 16 rows and 64 k comes
// in whole 16-byte loads (of 16 bits by ldmatrix), in the order in which the tensor cores' operand A wants it.
//
// Panels of 16 rows, each K / 64 chunks (rounded up; what is beyond N or K is zero), of which four are a group: ranges of k are cut between
// groups. In a chunk, lane l = (r mod 8) * 4 + t has rows g = l / 4 and g + 8, in four steps s of 16 k (mma.m16n8k16). Its 8 values of a
// step are (register, half): register 0 row g, 1 row g + 8, both k of j = 0, 1 (half); 2 and 3 the same rows, j = 2, 3. Which k that is, is
// the layout's own choice (operand B follows it), made so that a lane reads x in 16 bytes:
//
//   k = 32 b + kk:  t = kk / 8, s = 2 b + kk mod 8 / 4, j = kk mod 4
//
//   Q4_0, Q4_K   512 bytes  word s of a lane: 8 nibbles, that of (register, half) at bit 4 * (register + 4 * half)
//   Q5_0         + 128      a word of a lane: bit 4 of its level at bit register + 4 s + 16 * half
//   Q6_K         + 256      two words of a lane: bits 4, 5 of its level at bit 2 * register + 8 * (s mod 2) + 16 * half of word s / 2
//   Q8_0        1024        8 bytes a step (value + 128), that of (register, half) at byte 4 * (register / 2) + register mod 2 + 2 * half;
//                           steps 2 b, 2 b + 1 together
//   F8_E4M3     1024        the same, of the elements' bits, but at byte 2 * register + half
//   BF16, F16   2048        512 bytes a step: of each register the 4 bytes of lane after lane, 8 x 8 matrices of which wgmma reads operand A as
//                           it lies (matmul_prompt_bf16.cu)
//   scales                  what a lane reads together: for each g, of one block of 32 after the other, of the rows g and g + 8 the scale (Q4_K:
//                           scale and min), bfloat16; Q6_K the blocks 0 and 2 of 16 of each g, then 1 and 3; F8_E4M3 one of 64, float32
//
// Levels are multiplied as they lie: q in the low bits of a bfloat16 is q * 2^-133, up to 255 (subnormal up to 127, and the next ones
// follow on). Scales times 2^133 would overflow: they are kept times 2^103, mins times 2^-30, and sums are multiplied by 2^30 in the end,
// all of which is exact. Levels of the rows g + 8 of Q4_0 and Q4_K lie four bits higher, and their scales are kept times 2^99.
//
// Scales and mins are rounded to bfloat16. The size is that of the file, of Q4_K 11 % more, of Q6_K 7 %. Other types, and all weights of
// compute f32, keep their rows as they are in the file, and run on the plain kernels (cuda/kernels/formats.cuh).
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
};

__host__ __device__ constexpr PackedSizes packed_sizes(DType type) {
  switch (type) {
    case DType::BF16:
    case DType::F16:
      return {2048, 0};
    case DType::Q8_0:
    case DType::F8_E4M3:
      return {1024, 64};
    case DType::Q4_0:
      return {512, 64};
    case DType::Q5_0:
      return {640, 64};
    case DType::Q4_K:
      return {512, 128};
    case DType::Q6_K:
      return {768, 128};
    default:
      return {0, 0};  // never packed
  }
}

// Whether weights of it are packed, where they are multiplied as bfloat16 (WeightView::packed).
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

__host__ __device__ constexpr int chunks_of(int cols) {
  return (cols + kChunk - 1) / kChunk;
}

__host__ __device__ constexpr int panels_of(int rows) {
  return (rows + kPanelRows - 1) / kPanelRows;
}

// Bytes from one panel to the next.
__host__ __device__ constexpr int64_t packed_panel_bytes(DType type, int cols) {
  return int64_t(chunks_of(cols)) * chunk_bytes(type);
}

// Of integers times a scale.
__host__ __device__ constexpr bool is_scaled(DType type) {
  return is_packed(type) && !is_half(type) && type != DType::F8_E4M3;
}
// What products of packed weights are multiplied by.
__host__ __device__ constexpr float unit_of(DType type) {
  return is_scaled(type) ? 0x1p30f : 1.0f;
}
// The bit from which a level of row r lies when it is multiplied.
__host__ __device__ constexpr int level_bit(DType type, int r) {
  return (type == DType::Q4_0 || type == DType::Q4_K) && r >= 8 ? 4 : 0;
}
// What a scale is multiplied by before it is kept.
__host__ __device__ constexpr float scale_factor(DType type, int r) {
  return level_bit(type, r) == 0 ? 0x1p103f : 0x1p99f;
}
// What a level is less than the number that is kept.
__host__ __device__ constexpr int level_offset(DType type) {
  return type == DType::Q8_0 ? 128 : type == DType::Q6_K ? 32 : type == DType::Q5_0 ? 16 : type == DType::Q4_0 ? 8 : 0;
}

// Where scale i of a block of 32 (Q6_K: 16) of a chunk is for row r, of those of all lanes: a number of two bytes. Q4_K has a min, i = 1.
__host__ __device__ constexpr int place_of_scale(DType type, int block, int r, int i = 0) {
  const int g = r % 8, upper = r / 8;
  if (type == DType::Q4_K) return ((g * 2 + block) * 2 + upper) * 2 + i;
  if (type == DType::Q6_K) return ((block % 2 * 8 + g) * 2 + block / 2) * 2 + upper;
  return (g * 2 + block) * 2 + upper;
}
// Where the byte of (register, half) is among a step's eight.
__host__ __device__ constexpr int place_of_byte(DType type, int reg, int half) {
  return type == DType::Q8_0 ? reg / 2 * 4 + reg % 2 + 2 * half : reg * 2 + half;
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
__device__ inline float bfloat16_bits(uint16_t bits) {
  return __uint_as_float(static_cast<uint32_t>(bits) << 16);
}

// One element of a packed weight, of its scale as it is kept; F8_E4M3's product has one rounding, to float32, here and wherever it is
// taken.
template <DType type>
__device__ float packed_element(const uint8_t* panel, int r, int k) {
  const Place at = place_of(r, k);
  const uint8_t *chunk = panel + int64_t(at.chunk) * chunk_bytes(type), *scales = chunk + packed_sizes(type).quants;
  const uint32_t* words = reinterpret_cast<const uint32_t*>(chunk);
  if constexpr (is_half(type)) {
    const uint16_t bits = reinterpret_cast<const uint16_t*>(chunk + at.step * 512 + at.reg * 128 + at.lane * 4)[at.half];
    return type == DType::F16 ? half_bits(bits) : bfloat16_bits(bits);
  } else {
    int level;
    if constexpr (has_bytes(type)) {
      level = chunk[at.step / 2 * 512 + at.lane * 16 + at.step % 2 * 8 + place_of_byte(type, at.reg, at.half)];
    } else {
      level = words[at.lane * 4 + at.step] >> 4 * (at.reg + 4 * at.half) & 15;
    }
    if constexpr (type == DType::F8_E4M3) {
      return __fmul_rn(e4m3_pair(level).x, reinterpret_cast<const float*>(scales)[r % 8 * 2 + r / 8]);
    } else {
      if constexpr (type == DType::Q5_0) level |= (words[128 + at.lane] >> (at.reg + 4 * at.step + 16 * at.half) & 1) << 4;
      if constexpr (type == DType::Q6_K) {
        level |= (words[128 + at.lane * 2 + at.step / 2] >> (2 * at.reg + 8 * (at.step % 2) + 16 * at.half) & 3) << 4;
      }
      const int block = k % kChunk / (type == DType::Q6_K ? 16 : 32);
      const auto* all = reinterpret_cast<const uint16_t*>(scales);
      const float scale = bfloat16_bits(all[place_of_scale(type, block, r)]) / scale_factor(type, r);
      const float min = type == DType::Q4_K ? bfloat16_bits(all[place_of_scale(type, block, r, 1)]) * unit_of(type) : 0.0f;
      return static_cast<float>(level - level_offset(type)) * scale + min;
    }
  }
}

}  // namespace kvasir::cuda
