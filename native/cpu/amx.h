#pragma once
// Tiles of Intel's AMX (Software Developer's Manual, volume 1, chapter 18): eight registers of up to 16 rows of 64 bytes, and their
// products.
// As assembly of our own: the intrinsics of GCC 12 take literal numbers alone, and name 8 of a configuration's 64 bytes as what is read.
// Builds with the sanitizer emulate them (amx_emulated.h), so that the kernels are tested on other processors, too.
#include <cstddef>
#include <cstdint>

#include "cpu/simd.h"

namespace kvasir::cpu::KVASIR_ISA {

// Rows and bytes of a row of each tile; as the hardware reads it.
struct alignas(64) TileShapes {
  uint8_t palette = 1;
  uint8_t first_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};

  constexpr void set(int tile, int count, int bytes) {
    rows[tile] = static_cast<uint8_t>(count);
    row_bytes[tile] = static_cast<uint16_t>(bytes);
  }
};

}  // namespace kvasir::cpu::KVASIR_ISA

#if defined(KVASIR_SANITIZE)
#include "cpu/amx_emulated.h"
#else
namespace kvasir::cpu::KVASIR_ISA {

// The calling thread's tiles have these shapes while this lives; then it has none, and switching threads costs no more than before.
class TilesInUse {
 public:
  explicit TilesInUse(const TileShapes& shapes) { asm volatile("ldtilecfg %0" ::"m"(shapes)); }
  ~TilesInUse() { asm volatile("tilerelease"); }
  TilesInUse(const TilesInUse&) = delete;
  TilesInUse& operator=(const TilesInUse&) = delete;
};

template <int tile>
KVASIR_INLINE void zero_tile() {
  asm volatile("tilezero %%tmm%c0" ::"i"(tile));
}
// Rows lie `stride` bytes apart.
template <int tile>
KVASIR_INLINE void load_tile(const void* p, int64_t stride) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(tile), "r"(p), "r"(stride) : "memory");
}
template <int tile>
KVASIR_INLINE void store_tile(void* p, int64_t stride) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(tile), "r"(p), "r"(stride) : "memory");
}

// c[m][n] += sum of a[m][4 k + i] * b[k][4 n + i], of signed bytes, exact.
template <int c, int a, int b>
KVASIR_INLINE void multiply_i8() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(c), "i"(a), "i"(b));
}
// c[m][n] += sum of a[m][2 k + i] * b[k][2 n + i], of bfloat16 numbers: those of i = 0 and those of i = 1 have a sum each, ascending in k,
// every product fused; then both are added, and that to c. Subnormal numbers count as 0.
template <int c, int a, int b>
KVASIR_INLINE void multiply_bf16() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(c), "i"(a), "i"(b));
}

}  // namespace kvasir::cpu::KVASIR_ISA
#endif
