#pragma once
// Register tiles: a kernel that handles R rows at once, R known when it is compiled, applied to any number of rows.
#include <type_traits>

#include "cpu/simd.h"

namespace kvasir::cpu::KVASIR_ISA {

// Calls tile(count as a constant, first) where 1 <= count <= R; nothing for 0.
template <int R, class Tile>
KVASIR_INLINE void last_rows(int first, int count, const Tile& tile) {
  if constexpr (R > 0) {
    if (count == R) return tile(std::integral_constant<int, R>(), first);
    last_rows<R - 1>(first, count, tile);
  }
}

// Calls tile(number of rows as a constant, first row) for tiles that cover [0, count): R rows each, then what is left.
template <int R, class Tile>
KVASIR_INLINE void for_row_tiles(int count, const Tile& tile) {
  int first = 0;
  for (; first + R <= count; first += R) tile(std::integral_constant<int, R>(), first);
  last_rows<R - 1>(first, count - first, tile);
}

}  // namespace kvasir::cpu::KVASIR_ISA
