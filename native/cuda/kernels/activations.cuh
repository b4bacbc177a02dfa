#pragma once
// Activations in memory: float32 rows, or bfloat16 tiles (where a matmul reads them, compute bf16).
//
// A tile is 8 rows by 64 columns, 1 KiB. A block of 128 rows has the 16 tiles of its first 64 columns, then those of the next, so that a step of
// k of many tokens is one piece of memory; blocks are `128 * stride` elements apart. Within a tile: [8 cores][8 rows][8], where a core (16
// bytes a row) has the columns that one half of a step of the tensor cores multiplies, in the order of cuda/packed.cuh: column
// 32 b + 8 t + 4 s + j is element 2 t + j mod 2 of core 4 b + 2 s + j / 2. So tiles go to operand B of wgmma as they are.
#include <cuda_bf16.h>

#include "ops/memory.h"

namespace kvasir::cuda {

inline constexpr int kTileRows = 8;
inline constexpr int kTileCols = 64;
inline constexpr int kTileBytes = kTileRows * kTileCols * 2;
inline constexpr int kCoreBytes = kTileRows * 16;
inline constexpr int kBlockRows = 128;
inline constexpr int kBlockTiles = kBlockRows / kTileRows;  // of 64 columns

// The number of the tile of a row and of 64 columns.
__host__ __device__ inline int64_t tile_number(int64_t stride, int64_t row, int64_t cols) {
  return (row / kBlockRows * (stride / kTileCols) + cols) * kBlockTiles + row % kBlockRows / kTileRows;
}

// Where an element of a bfloat16 view is.
__host__ __device__ inline int64_t place_in_tiles(int64_t stride, int64_t row, int64_t col) {
  const int in_tile = static_cast<int>(col % kTileCols), core = in_tile / 32 * 4 + in_tile % 8 / 2,
            element = in_tile % 32 / 8 * 2 + in_tile % 2;
  return tile_number(stride, row, col / kTileCols) * (kTileRows * kTileCols) + core * 64 + row % kTileRows * 8 + element;
}

__device__ inline uint8_t* tile_address(const View& view, int64_t row, int64_t cols) {
  return static_cast<uint8_t*>(view.data) + tile_number(view.stride, row, cols) * kTileBytes;
}

__device__ inline float load(const View& view, int64_t row, int64_t col) {
  if (view.type == DType::BF16)
    return __bfloat162float(static_cast<const __nv_bfloat16*>(view.data)[place_in_tiles(view.stride, row, col)]);
  return static_cast<const float*>(view.data)[row * view.stride + col];
}

__device__ inline void store(const View& view, int64_t row, int64_t col, float value) {
  if (view.type == DType::BF16) {
    static_cast<__nv_bfloat16*>(view.data)[place_in_tiles(view.stride, row, col)] = __float2bfloat16_rn(value);
  } else {
    static_cast<float*>(view.data)[row * view.stride + col] = value;
  }
}

// Two columns from an even one on.
__device__ inline void store_pair(const View& view, int64_t row, int64_t col, float first, float second) {
  if (view.type == DType::BF16) {
    auto* place = static_cast<__nv_bfloat16*>(view.data) + place_in_tiles(view.stride, row, col);
    *reinterpret_cast<__nv_bfloat162*>(place) = __floats2bfloat162_rn(first, second);
  } else {
    float* place = static_cast<float*>(view.data) + row * view.stride + col;
    place[0] = first, place[1] = second;
  }
}

}  // namespace kvasir::cuda
