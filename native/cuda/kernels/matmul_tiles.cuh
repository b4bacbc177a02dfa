#pragma once
// What the matmuls by wgmma share (matmul_wide.cu, matmul_prompt*.cu): tiles, operands, and what of the sums is whose.
#include "cuda/kernels/matmul_launch.cuh"
#include "cuda/kernels/wgmma.cuh"

namespace kvasir::cuda {

inline constexpr int kGroupThreads = 128;       // of a warpgroup
inline constexpr int kConsumers = 2;            // warpgroups that multiply
inline constexpr int kPanels = kConsumers * 4;  // of a block

// Where a block works.
struct Work {
  int row_tile;
  int first_token;
  int rank;
  int range, end_range;
};

// The panel of a warp, of those that the launch numbers; beyond the last: none.
template <bool gated>
__device__ inline int panel_of(const Work& work, int warp) {
  return gated ? work.row_tile * 4 + warp % 4 : work.row_tile * kPanels + warp;
}

// Its packed bytes; beyond the last: those of that one again, whose products are nobody's.
template <bool gated>
__device__ inline const uint8_t* packed_panel_of(const Launch& launch, const Work& work, int warp) {
  return panel_data<gated>(launch, min(panel_of<gated>(work, warp), launch.panels - 1), warp / 4);
}

// Operand A of a chunk: its four steps.
using Chunk = uint32_t[4][4];

// That of a chunk of a piece.
template <DType type>
__device__ inline void load_operand(const uint8_t* piece, int in_piece, int lane, Chunk& a) {
  Raw<type> raw;
  load_chunk(piece, in_piece, lane, raw);
  unpack<type>(raw, 0, a[0], a[1]);
  unpack<type>(raw, 1, a[2], a[3]);
}

// Operand B of 16 k: a step of a chunk of x, whose tiles lie one after the other.
__device__ inline uint64_t operand_of_tiles(const uint8_t* tiles, int step) {
  return describe_operand(tiles + step * 2 * kCoreBytes, kCoreBytes, kTileBytes);
}

template <int width>
using Sums = float[width / 2];  // of rows g and g + 8: [4 i ..] of the tokens 8 i + 2 t, 8 i + 2 t + 1

// Sum i of this lane is of row g or g + 8 of the panel, and of this token of the tile.
__device__ inline int row_of_sum(int i) {
  return threadIdx.x % kWarp / 4 + i % 4 / 2 * 8;
}
__device__ inline int token_of_sum(int i) {
  return i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2;
}

__device__ inline void sync_consumers() {
  asm volatile("bar.sync 1, %0;" ::"n"(kConsumers * kGroupThreads) : "memory");
}

}  // namespace kvasir::cuda
