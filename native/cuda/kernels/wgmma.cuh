#pragma once
// wgmma m64nNk16: c += a b by the four warps of a warpgroup, operands of 16 bits, float32 sums (PTX ISA, "wgmma.mma_async"). Of sm_90a.
//
// Warp w has rows 16 w .. 16 w + 15, in the fragments of mma.sync m16n8k16: a[4] as there, c[4 i ..] those of the tokens 8 i .. 8 i + 7. Operand B
// is in shared memory: 16 bytes are 8 k of a token; 8 tokens of these are a core matrix, 128 bytes.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "cuda/kernels/barrier.cuh"

namespace kvasir::cuda {

// An operand without swizzle: bytes from a core matrix to the next one along k, and to the next one along its rows (of B: tokens).
__device__ inline uint64_t describe_operand(const void* start, uint32_t along_k, uint32_t along_rows) {
  return (shared_address(start) & 0x3ffffu) >> 4 | static_cast<uint64_t>(along_k >> 4) << 16 | static_cast<uint64_t>(along_rows >> 4) << 32;
}

// The operand that begins so many bytes after another.
__device__ inline uint64_t operand_at(uint64_t operand, uint32_t bytes) {
  return (operand & 0xffffffff00000000u) | (static_cast<uint32_t>(operand) + (bytes >> 4));
}

// Registers written before this may be operands of the wgmmas after it.
__device__ inline void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ inline void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Until at most `left` committed groups are under way.
template <int left>
__device__ inline void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(left) : "memory");
}
// After a wait: until here the sums are not read, and the registers of operand A not written.
template <int count>
__device__ inline void hold(float (&c)[count]) {
#pragma unroll
  for (float& sum : c) asm volatile("" : "+f"(sum)::"memory");
}
template <int count>
__device__ inline void hold(const uint32_t (&a)[count][4]) {
#pragma unroll
  for (int i = 0; i < count * 4; ++i) asm volatile("" ::"r"(a[i / 4][i % 4]) : "memory");
}

// Registers of a thread, which the warpgroups of a block share out among themselves.
template <int count>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count));
}
template <int count>
__device__ inline void leave_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count));
}

// wgmma(element, c, a, b, add) for N = 32, 64, 80, 96, 128 and 192, of which c has half; the element says which 16 bits the operands are.
// Without `add`, c is overwritten. Operand A is in registers (not for N = 192), or for N = 64, 128 and 192 in shared memory, in the order of operand B. Macros, as a string
// of asm can be put together in no other way.
#define KVASIR_SUMS(i) \
  "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3]), "+f"(c[i + 4]), "+f"(c[i + 5]), "+f"(c[i + 6]), "+f"(c[i + 7])
#define KVASIR_SUMS_16 KVASIR_SUMS(0), KVASIR_SUMS(8)
#define KVASIR_SUMS_32 KVASIR_SUMS_16, KVASIR_SUMS(16), KVASIR_SUMS(24)
#define KVASIR_SUMS_40 KVASIR_SUMS_32, KVASIR_SUMS(32)
#define KVASIR_SUMS_48 KVASIR_SUMS_40, KVASIR_SUMS(40)
#define KVASIR_SUMS_64 KVASIR_SUMS_48, KVASIR_SUMS(48), KVASIR_SUMS(56)
#define KVASIR_SUMS_96 KVASIR_SUMS_64, KVASIR_SUMS(64), KVASIR_SUMS(72), KVASIR_SUMS(80), KVASIR_SUMS(88)
#define KVASIR_NAMES_16 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define KVASIR_NAMES_32 KVASIR_NAMES_16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define KVASIR_NAMES_40 KVASIR_NAMES_32 ", %32, %33, %34, %35, %36, %37, %38, %39"
#define KVASIR_NAMES_48 KVASIR_NAMES_40 ", %40, %41, %42, %43, %44, %45, %46, %47"
#define KVASIR_NAMES_64 KVASIR_NAMES_48 ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define KVASIR_NAMES_80 KVASIR_NAMES_64 ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define KVASIR_NAMES_96 KVASIR_NAMES_80 ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define KVASIR_WGMMA(n, type, names, a, b, add, orders) \
  "{\n.reg .pred p;\nsetp.ne.b32 p, " add               \
  ", 0;\n"                                              \
  "wgmma.mma_async.sync.aligned.m64n" n "k16.f32." type "." type " {" names "}, " a ", " b ", p, 1, 1, " orders ";\n}"
#define KVASIR_DEFINE_WGMMA(Element, type)                                                             \
  __device__ inline void wgmma(Element, float(&c)[16], const uint32_t(&a)[4], uint64_t b, bool add) {  \
    asm volatile(KVASIR_WGMMA("32", type, KVASIR_NAMES_16, "{%16, %17, %18, %19}", "%20", "%21", "0")  \
                 : KVASIR_SUMS_16                                                                      \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(add)));    \
  }                                                                                                    \
  __device__ inline void wgmma(Element, float(&c)[32], const uint32_t(&a)[4], uint64_t b, bool add) {  \
    asm volatile(KVASIR_WGMMA("64", type, KVASIR_NAMES_32, "{%32, %33, %34, %35}", "%36", "%37", "0")  \
                 : KVASIR_SUMS_32                                                                      \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(add)));    \
  }                                                                                                    \
  __device__ inline void wgmma(Element, float(&c)[40], const uint32_t(&a)[4], uint64_t b, bool add) {  \
    asm volatile(KVASIR_WGMMA("80", type, KVASIR_NAMES_40, "{%40, %41, %42, %43}", "%44", "%45", "0")  \
                 : KVASIR_SUMS_40                                                                      \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(add)));    \
  }                                                                                                    \
  __device__ inline void wgmma(Element, float(&c)[48], const uint32_t(&a)[4], uint64_t b, bool add) {  \
    asm volatile(KVASIR_WGMMA("96", type, KVASIR_NAMES_48, "{%48, %49, %50, %51}", "%52", "%53", "0")  \
                 : KVASIR_SUMS_48                                                                      \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(add)));    \
  }                                                                                                    \
  __device__ inline void wgmma(Element, float(&c)[64], const uint32_t(&a)[4], uint64_t b, bool add) {  \
    asm volatile(KVASIR_WGMMA("128", type, KVASIR_NAMES_64, "{%64, %65, %66, %67}", "%68", "%69", "0") \
                 : KVASIR_SUMS_64                                                                      \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(add)));    \
  }                                                                                                    \
  __device__ inline void wgmma(Element, float(&c)[32], uint64_t a, uint64_t b, bool add) {             \
    asm volatile(KVASIR_WGMMA("64", type, KVASIR_NAMES_32, "%32", "%33", "%34", "0, 0")                \
                 : KVASIR_SUMS_32                                                                      \
                 : "l"(a), "l"(b), "r"(static_cast<int>(add)));                                        \
  }                                                                                                    \
  __device__ inline void wgmma(Element, float(&c)[64], uint64_t a, uint64_t b, bool add) {             \
    asm volatile(KVASIR_WGMMA("128", type, KVASIR_NAMES_64, "%64", "%65", "%66", "0, 0")               \
                 : KVASIR_SUMS_64                                                                      \
                 : "l"(a), "l"(b), "r"(static_cast<int>(add)));                                        \
  }                                                                                                    \
  __device__ inline void wgmma(Element, float(&c)[96], uint64_t a, uint64_t b, bool add) {             \
    asm volatile(KVASIR_WGMMA("192", type, KVASIR_NAMES_96, "%96", "%97", "%98", "0, 0")               \
                 : KVASIR_SUMS_96                                                                      \
                 : "l"(a), "l"(b), "r"(static_cast<int>(add)));                                        \
  }

KVASIR_DEFINE_WGMMA(__nv_bfloat16, "bf16")
KVASIR_DEFINE_WGMMA(__half, "f16")

#undef KVASIR_DEFINE_WGMMA
#undef KVASIR_WGMMA
#undef KVASIR_NAMES_96
#undef KVASIR_NAMES_80
#undef KVASIR_NAMES_64
#undef KVASIR_NAMES_48
#undef KVASIR_NAMES_40
#undef KVASIR_NAMES_32
#undef KVASIR_NAMES_16
#undef KVASIR_SUMS_96
#undef KVASIR_SUMS_64
#undef KVASIR_SUMS_48
#undef KVASIR_SUMS_40
#undef KVASIR_SUMS_32
#undef KVASIR_SUMS_16
#undef KVASIR_SUMS

}  // namespace kvasir::cuda
