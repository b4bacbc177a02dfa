#pragma once
// Packed weights (cuda/packed.cuh) on their way to the tensor cores: a lane's share of a chunk in registers, then operand A in bfloat16.
//
// A weight's value here, in units of unit_of(type), is level * scale + min, rounded to bfloat16 once; scales and mins have been rounded
// when they were packed: two roundings, a few parts in 1000 of a weight each, less than 1 part in 100 of the error of a format of four
// bits. F16 and F8_E4M3 are exact values (F8_E4M3: that in float32) rounded once.
#include "cuda/kernels/mma.cuh"
#include "cuda/packed.cuh"

namespace kvasir::cuda {

// What a lane loads of a chunk: rows g and g + 8 of a panel, where lane = 4 g + t.
template <DType type>
struct Raw {
  static constexpr int kLoads = is_half(type) ? 4 : has_bytes(type) ? 2 : 1;
  uint4 quants[kLoads];
  uint32_t high[2];
  // Pairs for the rows g and g + 8, of two blocks of k; Q4_K: of each row (scale, min); F8_E4M3: a number for either row, float32.
  uint32_t scales[type == DType::Q4_K ? 4 : 2];
};

// From a piece's bytes, in shared memory where is_half.
template <DType type>
__device__ inline void load_chunk(const uint8_t* piece, int chunk, int lane, Raw<type>& raw) {
  const uint8_t *at = piece + chunk * chunk_bytes(type), *scales = at + packed_sizes(type).quants;
  const int g = lane / 4, t = lane % 4;
#pragma unroll
  for (int i = 0; i < Raw<type>::kLoads; ++i) {
    const auto* own = reinterpret_cast<const uint4*>(at) + i * 32 + lane;
    raw.quants[i] = is_half(type) ? load_matrices(own) : *own;
  }
  if constexpr (type == DType::Q5_0) raw.high[0] = reinterpret_cast<const uint32_t*>(at + 512)[lane];
  if constexpr (type == DType::Q6_K) {
    const uint2 high = reinterpret_cast<const uint2*>(at + 512)[lane];
    raw.high[0] = high.x, raw.high[1] = high.y;
  }
  if constexpr (type == DType::Q4_K) {
    const uint4 own = reinterpret_cast<const uint4*>(scales)[g];
    raw.scales[0] = own.x, raw.scales[1] = own.y, raw.scales[2] = own.z, raw.scales[3] = own.w;
  } else if constexpr (!is_half(type)) {
    const uint2 own = reinterpret_cast<const uint2*>(scales)[type == DType::Q6_K ? t / 2 * 8 + g : g];  // k = 8 t + .. of two blocks of 16
    raw.scales[0] = own.x, raw.scales[1] = own.y;
  }
}

__device__ inline __nv_bfloat162 as_bf16x2(uint32_t bits) {
  return *reinterpret_cast<const __nv_bfloat162*>(&bits);
}
__device__ inline uint32_t bits_of(__nv_bfloat162 pair) {
  return *reinterpret_cast<const uint32_t*>(&pair);
}
__device__ inline float2 half_pair(uint32_t bits) {
  return __half22float2(*reinterpret_cast<const __half2*>(&bits));
}
// (word & mask) | rest in one instruction; the compiler makes two of it where mask and rest are constants.
__device__ inline uint32_t pick(uint32_t word, uint32_t mask, uint32_t rest) {
  uint32_t picked;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(picked) : "r"(word), "r"(mask), "r"(rest));
  return picked;
}
__device__ inline uint32_t shift_right(uint32_t word, int by) {
  return by >= 0 ? word >> by : word << -by;
}

// Scales and mins of rows g and g + 8 in a block of 32 k, each twice.
struct BlockScale {
  __nv_bfloat162 scale[2], min[2];
};

template <DType type>
__device__ inline BlockScale block_scale(const Raw<type>& raw, int block) {
  BlockScale own;
#pragma unroll
  for (int upper = 0; upper < 2; ++upper) {
    if constexpr (type == DType::Q4_K) {
      const __nv_bfloat162 both = as_bf16x2(raw.scales[2 * block + upper]);
      own.scale[upper] = __low2bfloat162(both), own.min[upper] = __high2bfloat162(both);
    } else {
      const __nv_bfloat162 both = as_bf16x2(raw.scales[block]);
      own.scale[upper] = upper == 0 ? __low2bfloat162(both) : __high2bfloat162(both);
      const uint32_t offset = 0x8000u | level_offset(type) << level_bit(type, 8 * upper);  // negative, as levels lie
      own.min[upper] = __hmul2(own.scale[upper], as_bf16x2(offset * 0x10001u));
    }
  }
  return own;
}

// Two levels of register `reg` in a step of a block, each in the low bits of a half.
template <DType type>
__device__ inline uint32_t level_pair(const Raw<type>& raw, int block, int step, int reg) {
  if constexpr (type == DType::Q8_0) {
    const uint4 q = raw.quants[block];
    const uint32_t words[4] = {q.x, q.y, q.z, q.w}, word = words[2 * step + reg / 2];
    return reg % 2 == 0 ? word & 0x00ff00ffu : __byte_perm(word, 0, 0x4341);
  }
  const uint4 q = raw.quants[0];
  const uint32_t words[4] = {q.x, q.y, q.z, q.w}, word = words[2 * block + step];
  if constexpr (level_bit(type, 8) == 4) return (word >> reg / 2 * 8) & (reg % 2 == 0 ? 0x000f000fu : 0x00f000f0u);
  const uint32_t low = (word >> 4 * reg) & 0x000f000fu;
  if constexpr (type == DType::Q5_0) return pick(shift_right(raw.high[0], reg + 4 * (2 * block + step) - 4), 0x00100010u, low);
  return pick(shift_right(raw.high[block], 2 * reg + 8 * step - 4), 0x00300030u, low);
}

// Operand A of a block of 32 k: two steps of 16 rows by 16 k.
template <DType type>
__device__ inline void unpack(const Raw<type>& raw, int block, uint32_t (&even)[4], uint32_t (&odd)[4]) {
  if constexpr (is_half(type)) {
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      const uint4 q = raw.quants[2 * block + step];
      const uint32_t words[4] = {q.x, q.y, q.z, q.w};
      for (int reg = 0; reg < 4; ++reg) {
        const float2 exact = half_pair(words[reg]);
        (step == 0 ? even : odd)[reg] = type == DType::BF16 ? words[reg] : pack(__nv_bfloat16(), exact.x, exact.y);
      }
    }
  } else if constexpr (type == DType::F8_E4M3) {
    const uint4 q = raw.quants[block];
    const uint32_t words[4] = {q.x, q.y, q.z, q.w};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float2 exact = e4m3_pair(i % 2 == 0 ? words[i / 2] & 0xffff : words[i / 2] >> 16);
      const float scale = __uint_as_float(raw.scales[i % 2]);
      (i < 4 ? even : odd)[i % 4] = pack(__nv_bfloat16(), exact.x * scale, exact.y * scale);
    }
  } else {
    const BlockScale own = block_scale(raw, block);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int step = i / 4, reg = i % 4;
      const __nv_bfloat162 levels = as_bf16x2(level_pair(raw, block, step, reg));
      (step == 0 ? even : odd)[reg] = bits_of(__hfma2(levels, own.scale[reg % 2], own.min[reg % 2]));
    }
  }
}

}  // namespace kvasir::cuda
