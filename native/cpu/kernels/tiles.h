#pragma once
// Register tiles: a kernel that handles R rows at once, R known when it is compiled, applied to any number of rows.
#include <type_traits>

#include "cpu/simd.h"

namespace kvasir::cpu::KVASIR_ISA {

// Calls tile(R as a constant, first row) for tiles that cover [first, count): as many of the largest as fit, then of half the size.
template <int R, class Tile>
KVASIR_INLINE void for_row_tiles(int first, int count, const Tile& tile) {
  for (; first + R <= count; first += R) tile(std::integral_constant<int, R>(), first);
  if constexpr (R > 1) for_row_tiles<R / 2>(first, count, tile);
}

}  // namespace kvasir::cpu::KVASIR_ISA
