#pragma once
// mma.sync m16n8k16: c += a b with operands of 16 bits and float32 sums. The first argument says which 16 bits; E4M3 is multiplied as float16.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "cuda/e4m3.cuh"

namespace kvasir::cuda {

// What the tensor cores multiply of a cache's elements.
template <class Element>
using Multiplied = std::conditional_t<std::is_same_v<Element, __nv_fp8_e4m3>, __half, Element>;

__device__ inline uint32_t pack(__half, float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}
__device__ inline uint32_t pack(__nv_bfloat16, float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

__device__ inline uint32_t pack(__nv_fp8_e4m3, float low, float high) {
  return pack(__half(), low, high);
}

__device__ inline void mma(__half, float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ inline void mma(__nv_bfloat16, float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ inline void mma(__nv_fp8_e4m3, float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  mma(__half(), c, a, b0, b1);
}

// Four 8 x 8 matrices of 16 bits from shared memory, each as a half of operand B or a quarter of operand A: lane l has the address of row
// l mod 8 of matrix l / 8.
__device__ inline uint4 load_matrices(const void* row) {
  uint4 cores;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(cores.x), "=r"(cores.y), "=r"(cores.z), "=r"(cores.w)
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
  return cores;
}

// The same of four cores, rows of 8 elements: the one at `first`, the ones `apart` and `further` elements on, and the one at both.
template <class Element>
__device__ inline uint4 load_cores(const Element* first, int apart, int further, int lane) {
  return load_matrices(first + lane / 8 % 2 * apart + lane / 16 * further + lane % 8 * 8);
}
__device__ inline uint4 load_cores(const __nv_fp8_e4m3* first, int apart, int further, int lane) {
  const uint16_t* own = reinterpret_cast<const uint16_t*>(first) + lane;
  return make_uint4(e4m3_halves(own[0]), e4m3_halves(own[apart / 2]), e4m3_halves(own[further / 2]),
                    e4m3_halves(own[(apart + further) / 2]));
}

}  // namespace kvasir::cuda
