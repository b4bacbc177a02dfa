#pragma once
// Packed weights (cuda/packed.cuh) on their way to the tensor cores: a lane's share of a chunk in registers, then operand A in bfloat16.
//
// A weight's value here is its exact value (F8_E4M3: that in float32) rounded to bfloat16: Q8_0, F8_E4M3 and F16 once, to nearest even; of the
// types with fewer levels the block's scale (and min) is rounded first, then the product: two roundings, less than 1 part in 100 of the
// format's own error.
#include "cuda/kernels/mma.cuh"
#include "cuda/packed.cuh"

namespace kvasir::cuda {

// What a lane loads of a chunk: rows g and g + 8 of a panel, where lane = 4 g + t.
template <DType type>
struct Raw {
  static constexpr int kLoads = is_half(type) ? 4 : has_bytes(type) ? 2 : 1;
  uint4 quants[kLoads];
  uint32_t high[2];
  uint32_t scales[2];  // of a block of 32: two float16, 2 x (scale, min), or a pair of int8; F8_E4M3: of rows g and g + 8, float32
  uint32_t supers[2];  // d, dmin of rows g and g + 8; or both d in the first
};

// From a group's bytes, in shared memory where is_half.
template <DType type>
__device__ inline void load_chunk(const uint8_t* group, int chunk, int lane, Raw<type>& raw) {
  const uint8_t *at = group + chunk * chunk_bytes(type), *scales = at + packed_sizes(type).quants,
                *supers = group + kGroupChunks * chunk_bytes(type);
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
    const auto* pairs = reinterpret_cast<const uint16_t*>(scales);  // [4 blocks of 16][8 g]; k = 8 t + .. lies in block t / 2 of two
    raw.scales[0] = pairs[t / 2 * 8 + g], raw.scales[1] = pairs[(2 + t / 2) * 8 + g];
    raw.supers[0] = reinterpret_cast<const uint32_t*>(supers)[g];
  } else if constexpr (type == DType::F8_E4M3) {
    const uint2 both = reinterpret_cast<const uint2*>(scales)[g];
    raw.scales[0] = both.x, raw.scales[1] = both.y;
  } else if constexpr (!is_half(type)) {
    raw.scales[0] = reinterpret_cast<const uint32_t*>(scales)[g], raw.scales[1] = reinterpret_cast<const uint32_t*>(scales)[8 + g];
  }
  if constexpr (type == DType::Q4_K) {
    const uint2 both = reinterpret_cast<const uint2*>(supers)[g];
    raw.supers[0] = both.x, raw.supers[1] = both.y;
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
// Byte i of a word, times d, exactly where the product has 24 bits: 2^23 + u has u in its low byte.
__device__ inline float times_byte(float d, uint32_t word, int i) {
  return fmaf(d, __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7650u + static_cast<uint32_t>(i))), d * -0x1p23f);
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
  __nv_bfloat162 scale[2];
  __nv_bfloat162 min[2];  // Q4_K: negative
};

template <DType type>
__device__ inline BlockScale block_scale(const Raw<type>& raw, int block) {
  const uint32_t s = raw.scales[block];
  float2 scale, least = {};
  if constexpr (type == DType::Q4_K) {
    const float2 first = half_pair(raw.supers[0]), second = half_pair(raw.supers[1]);  // d, dmin
    scale = {times_byte(first.x, s, 0), times_byte(second.x, s, 2)};
    least = {times_byte(-first.y, s, 1), times_byte(-second.y, s, 3)};
  } else if constexpr (type == DType::Q6_K) {
    const float2 d = half_pair(raw.supers[0]);
    scale = {d.x * static_cast<float>(static_cast<int8_t>(s & 255)), d.y * static_cast<float>(static_cast<int8_t>(s >> 8))};
  } else {
    scale = half_pair(s);
  }
  const __nv_bfloat162 scales = __floats2bfloat162_rn(scale.x, scale.y), mins = __floats2bfloat162_rn(least.x, least.y);
  return {{__low2bfloat162(scales), __high2bfloat162(scales)}, {__low2bfloat162(mins), __high2bfloat162(mins)}};
}

// 128 + level is a bfloat16 whose low bits are the level; less 128 + offset it is the level less its offset, exactly.
inline constexpr uint32_t kLevelBase = 0x43004300;
template <int offset>
__device__ inline __nv_bfloat162 level_pair(uint32_t bits) {
  return __hsub2(as_bf16x2(bits), as_bf16x2(kLevelBase + offset * 0x10001u));
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
  } else if constexpr (type == DType::Q8_0) {
    // 128 + u / 256 has u in its second byte; (128 + u / 256) * 256 s - (2^15 + 128) s is exact in float32.
    const float2 scale = half_pair(raw.scales[block]);
    const float by[2] = {scale.x * 256.0f, scale.y * 256.0f}, less[2] = {scale.x * -32896.0f, scale.y * -32896.0f};
    const uint4 q = raw.quants[block];
    const uint32_t words[4] = {q.x, q.y, q.z, q.w};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int reg = i % 4;
      const uint32_t word = words[i / 2], low = __byte_perm(word, 0x43000000u, reg % 2 == 0 ? 0x7604u : 0x7624u),
                     high = __byte_perm(word, 0x43000000u, reg % 2 == 0 ? 0x7614u : 0x7634u);
      (i < 4 ? even : odd)[reg] = pack(__nv_bfloat16(), fmaf(__uint_as_float(low), by[reg % 2], less[reg % 2]),
                                       fmaf(__uint_as_float(high), by[reg % 2], less[reg % 2]));
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
    const uint4 q = raw.quants[0];
    const uint32_t words[2] = {block == 0 ? q.x : q.z, block == 0 ? q.y : q.w};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int step = i / 4, reg = i % 4;
      uint32_t& a = (step == 0 ? even : odd)[reg];
      uint32_t bits = pick(words[step] >> 4 * reg, 0x000f000fu, kLevelBase);
      if constexpr (type == DType::Q4_K) {
        a = bits_of(__hfma2(level_pair<0>(bits), own.scale[reg % 2], own.min[reg % 2]));
      } else if constexpr (type == DType::Q5_0) {
        bits = pick(shift_right(raw.high[0], reg + 4 * (2 * block + step) - 4), 0x00100010u, bits);
        a = bits_of(__hmul2(level_pair<16>(bits), own.scale[reg % 2]));
      } else if constexpr (type == DType::Q6_K) {
        bits = pick(shift_right(raw.high[block], 2 * reg + 8 * step - 4), 0x00300030u, bits);
        a = bits_of(__hmul2(level_pair<32>(bits), own.scale[reg % 2]));
      } else {
        a = bits_of(__hmul2(level_pair<8>(bits), own.scale[reg % 2]));
      }
    }
  }
}

}  // namespace kvasir::cuda
