#pragma once
// Tiles of Intel's AMX (Software Developer's Manual, volume 1, chapter 18): eight registers of up to 16 rows of 64 bytes, and their
// products.
// As assembly of our own: the intrinsics of GCC 12 take literal numbers alone, and name 8 of a configuration's 64 bytes as what is read. Builds with
// KVASIR_EMULATED_TILES (those with the sanitizer) do in C++ what the instructions do, so that the kernels are tested on other processors, too.
#include <cstddef>
#include <cstdint>
#include <cstring>

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

#if defined(KVASIR_EMULATED_TILES)

struct Tiles {
  TileShapes shapes;
  alignas(64) uint8_t data[8][16][64];
};
inline thread_local Tiles tiles_of_thread;

class TilesInUse {
 public:
  explicit TilesInUse(const TileShapes& shapes) { tiles_of_thread.shapes = shapes; }
  ~TilesInUse() { tiles_of_thread = {}; }
  TilesInUse(const TilesInUse&) = delete;
  TilesInUse& operator=(const TilesInUse&) = delete;
};

template <int tile>
void zero_tile() {
  std::memset(tiles_of_thread.data[tile], 0, sizeof tiles_of_thread.data[tile]);
}
template <int tile>
void load_tile(const void* p, int64_t stride) {
  const TileShapes& shapes = tiles_of_thread.shapes;
  zero_tile<tile>();
  for (int row = 0; row < shapes.rows[tile]; ++row) {
    std::memcpy(tiles_of_thread.data[tile][row], static_cast<const uint8_t*>(p) + row * stride, shapes.row_bytes[tile]);
  }
}
template <int tile>
void store_tile(void* p, int64_t stride) {
  const TileShapes& shapes = tiles_of_thread.shapes;
  for (int row = 0; row < shapes.rows[tile]; ++row) {
    std::memcpy(static_cast<uint8_t*>(p) + row * stride, tiles_of_thread.data[tile][row], shapes.row_bytes[tile]);
  }
}

// c[m][n] += f(4 bytes of a[m] from 4 k on, 4 bytes of b[k] from 4 n on, what is so far).
template <class Number, int c, int a, int b>
void multiply_emulated(auto&& f) {
  Tiles& tiles = tiles_of_thread;
  for (int m = 0; m < tiles.shapes.rows[c]; ++m) {
    for (int n = 0; n < tiles.shapes.row_bytes[c] / 4; ++n) {
      Number sum;
      std::memcpy(&sum, tiles.data[c][m] + 4 * n, 4);
      sum = f(
          sum, tiles.shapes.row_bytes[a] / 4, [&](int k) { return tiles.data[a][m] + 4 * k; },
          [&](int k) { return tiles.data[b][k] + 4 * n; });
      std::memcpy(tiles.data[c][m] + 4 * n, &sum, 4);
    }
  }
}
template <int c, int a, int b>
void multiply_i8() {
  multiply_emulated<int32_t, c, a, b>([](int32_t sum, int count, auto&& x, auto&& y) {
    for (int k = 0; k < count; ++k) {
      for (int i = 0; i < 4; ++i) sum += static_cast<int8_t>(x(k)[i]) * static_cast<int8_t>(y(k)[i]);
    }
    return sum;
  });
}
template <int c, int a, int b>
void multiply_bf16() {
  const auto number = [](const uint8_t* p) {
    const uint32_t bits = static_cast<uint32_t>(p[0] << 16 | p[1] << 24);
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
  };
  multiply_emulated<float, c, a, b>([&](float before, int count, auto&& x, auto&& y) {
    float sums[2] = {};
    for (int k = 0; k < count; ++k) {
      for (int i = 0; i < 2; ++i) sums[i] = __builtin_fmaf(number(x(k) + 2 * i), number(y(k) + 2 * i), sums[i]);
    }
    return before + (sums[0] + sums[1]);
  });
}

#else

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

#endif

}  // namespace kvasir::cpu::KVASIR_ISA
