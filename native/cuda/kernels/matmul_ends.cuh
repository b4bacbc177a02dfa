#pragma once
// How a block of cuda/kernels/matmul_wide.cu ends: what of the sums is whose, and where they go.
#include "cuda/kernels/matmul_launch.cuh"

namespace kvasir::cuda {

inline constexpr int kGroupThreads = 128;                          // of a warpgroup
inline constexpr int kConsumers = 2;                               // warpgroups
inline constexpr int kThreads = (kConsumers + 1) * kGroupThreads;  // and one of which a warp brings x
inline constexpr int kPanels = kConsumers * 4;                     // of a block

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

template <int width>
using Sums = float[width / 2];  // of rows g and g + 8: [4 i ..] of the tokens 8 i + 2 t, 8 i + 2 t + 1

// How many sums a block has of each element: one, or one of each of its ranges.
template <int ranks>
inline constexpr int kResults = ranks == 1 ? 1 : kRanges / ranks;

// Sum i of this lane is of row g or g + 8 of the panel, and of this token of the tile.
__device__ inline int row_of_sum(int i) {
  return threadIdx.x % kWarp / 4 + i % 4 / 2 * 8;
}
__device__ inline int token_of_sum(int i) {
  return i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2;
}

// y of one sum; `up` is of the other matrix where gated.
template <bool gated>
__device__ inline void write_out(const Launch& launch, const Part& part, int panel, int first_token, int i, float sum, float up) {
  const int n = (panel - part.first_panel) * kPanelRows + row_of_sum(i), token = first_token + token_of_sum(i);
  if (n >= part.weight.rows || token >= launch.rows) return;
  store(part.y, token, n, gated ? gated_product(launch, sum, up, n) : with_bias(sum, part.bias, n));
}

__device__ inline void sync_consumers() {
  asm volatile("bar.sync 1, %0;" ::"n"(kConsumers * kGroupThreads) : "memory");
}

// Whole: every warp has the sums of its panel.
template <int width>
__device__ inline void write_whole(const Launch& launch, const Work& work, int warp, const Sums<width>& sums) {
  const int panel = panel_of<false>(work, warp);
  if (panel >= launch.panels) return;
  const Part& part = part_of(launch, panel);
#pragma unroll
  for (int i = 0; i < width / 2; ++i) write_out<false>(launch, part, panel, work.first_token, i, sums[i], 0.0f);
}

// Shared memory of a gated block's end: its products are 64 columns of y, a tile for each 8 tokens.
template <int width>
struct Products {
  float up[width / 2][kGroupThreads];
  uint8_t tiles[width / kTileRows][kTileBytes];
};

// Whole and gated: the gate's warpgroup gets the sums of up and makes tiles of y.
template <int width>
__device__ inline void write_products(const Launch& launch, const Work& work, Products<width>& shared, int warp, const Sums<width>& sums) {
  const int panel = panel_of<true>(work, warp), thread = threadIdx.x % kGroupThreads;
  sync_consumers();  // no one reads x any more
  if (warp >= 4) {
#pragma unroll
    for (int i = 0; i < width / 2; ++i) shared.up[i][thread] = sums[i];
  }
  sync_consumers();
  if (warp >= 4) return;
  const Part& gate = launch.parts[0];
  const View tiles{shared.tiles, DType::BF16, kTileCols};
  if (gate.y.type != DType::BF16) {
#pragma unroll
    for (int i = 0; i < width / 2; ++i) write_out<true>(launch, gate, panel, work.first_token, i, sums[i], shared.up[i][thread]);
    return;
  }
#pragma unroll
  for (int i = 0; i < width / 2; ++i) {
    const int n = panel * kPanelRows + row_of_sum(i);
    const float y = n < gate.weight.rows ? gated_product(launch, sums[i], shared.up[i][thread], n) : 0.0f;
    store(tiles, token_of_sum(i), n % kTileCols, y);
  }
  asm volatile("bar.sync 2, %0;" ::"n"(kGroupThreads) : "memory");
  auto* y = static_cast<uint8_t*>(gate.y.data) + work.row_tile * kTileBytes;
  const int count = min(width, launch.rows - work.first_token + kTileRows - 1) / kTileRows;
  for (int i = thread; i < count * (kTileBytes / 16); i += kGroupThreads) {
    const int tile = i / (kTileBytes / 16), place = i % (kTileBytes / 16);
    const int64_t from_start = (work.first_token / kTileRows + tile) * (gate.y.stride / kTileCols) * kTileBytes;
    reinterpret_cast<uint4*>(y + from_start)[place] = reinterpret_cast<const uint4*>(shared.tiles[tile])[place];
  }
}

// The cluster's blocks each add their share of all ranges' sums, ascending.
template <int width, int ranks, bool gated>
__device__ inline void write_split(const Launch& launch, const Work& work, const float (*sums)[width / 2][kConsumers * kGroupThreads],
                                   int warp) {
  const int panel = panel_of<gated>(work, warp), thread = threadIdx.x;
  constexpr int kShare = width / 2 / ranks, kOwn = kResults<ranks>;
  if (panel >= launch.panels || (gated && warp >= 4)) return;
  const Part& part = part_of(launch, panel);
  for (int i = work.rank * kShare; i < (work.rank + 1) * kShare; ++i) {
    float sum = 0, up = 0;
    for (int range = 0; range < kRanges; ++range) {
      const float(&own)[kConsumers * kGroupThreads] = sums[range % kOwn][i];
      sum += load_from_block(&own[thread], range / kOwn);
      if (gated) up += load_from_block(&own[thread + kGroupThreads], range / kOwn);
    }
    write_out<gated>(launch, part, panel, work.first_token, i, sum, up);
  }
}

}  // namespace kvasir::cuda
