#pragma once
// What the instructions of amx.h do, in C++: for tests on processors without them. Subnormal numbers are not taken as 0.
#include <cstring>

#include "cpu/amx.h"

namespace kvasir::cpu::KVASIR_ISA {

// The registers; a thread's own, as the processor's are.
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

// c[m][n] = f(c[m][n], how many k, where a[m] has its 4 bytes of k, where b[k] has its 4 bytes of n).
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

}  // namespace kvasir::cpu::KVASIR_ISA
