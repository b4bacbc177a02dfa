#pragma once
// Numbers of E4M3 (1 sign, 4 exponent, 3 mantissa bits), of weights and caches. float16 has all of them.
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>

namespace kvasir::cuda {

// Two numbers, the first in the lower byte, as two of float16.
__device__ inline uint32_t e4m3_halves(uint32_t bits) {
  const __half2_raw halves = __nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(bits), __NV_E4M3);
  return *reinterpret_cast<const uint32_t*>(&halves);
}

__device__ inline float2 e4m3_pair(uint32_t bits) {
  return __half22float2(__half2(__nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(bits), __NV_E4M3)));
}

// x rounded to nearest even, what is beyond 448 to that; NaN stays NaN.
__device__ inline __nv_fp8_e4m3 to_e4m3(float x) {
  __nv_fp8_e4m3 rounded;
  rounded.__x = __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3);
  return rounded;
}

}  // namespace kvasir::cuda
