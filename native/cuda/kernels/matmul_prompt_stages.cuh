#pragma once
// What a block of cuda/kernels/matmul_prompt.cu has in shared memory, and how it comes there: x and weights of tile after tile, by a warpgroup that
// multiplies nothing.
#include "cuda/kernels/matmul_ends.cuh"
#include "cuda/kernels/matmul_tensor.h"

namespace kvasir::cuda::prompt {

inline constexpr int kWidth = kPromptTokens;  // of a tile
static_assert(kPanels == kPromptPanels);
inline constexpr int kTiles = kWidth / kTileRows;
inline constexpr int kPair = 2;     // chunks that are multiplied at once
inline constexpr int kSharing = 2;  // blocks of a cluster: of four, each waits too often for the slowest

inline constexpr int kGroupPanels = kPanels / kConsumers;

// Pairs of x, and pieces of weights, under way.
template <DType type>
inline constexpr int kPairs = is_half(type) ? 3 : 4;
template <DType type>
inline constexpr int kPieces = is_half(type) ? 3 : kStages<type>;

template <DType type>
struct Shared {
  uint8_t x[kPairs<type>][kPair][kTiles][kTileBytes];
  uint8_t weights[kConsumers][kPieces<type>][kGroupPanels][kPieceBytes<type>];
  Products products;
  uint64_t weights_full[kConsumers][kPieces<type>], weights_empty[kConsumers][kPieces<type>];
  uint64_t x_full[kPairs<type>], x_empty[kPairs<type>];
};

// A ring's stages as one thread goes through them: those that it waits for are complete at first where they were never used.
template <int count>
struct Stage {
  int at = 0, parity;

  __device__ void next() {
    if (++at == count) at = 0, parity ^= 1;
  }
};

// Tiles of a launch: groups of kSharing tiles of rows, one for each block of a cluster, with each tile of tokens.
struct Tiles {
  int of_tokens, count;

  __host__ __device__ Tiles(const Launch& launch, bool gated) : of_tokens((launch.rows + kWidth - 1) / kWidth) {
    const int panels = (gated ? kPanels / 2 : kPanels) * kSharing;
    count = (launch.panels + panels - 1) / panels * of_tokens;
  }
};
// Where this block works; tokens after tokens with the same weights.
__device__ inline Work work_of(const Tiles& tiles, int tile) {
  const int rank = blockIdx.x % kSharing;
  return {tile / tiles.of_tokens * kSharing + rank, tile % tiles.of_tokens * kWidth, rank, 0, kRanges};
}
__device__ inline int first_tile() {
  return blockIdx.x / kSharing;
}
__device__ inline int tiles_apart() {
  return gridDim.x / kSharing;
}

// x of tile after tile into shared memory, a pair of chunks at a time, in whole groups (the last chunk again where one lacks some); of each
// chunk this block's part into all blocks of the cluster.
template <DType type>
__device__ inline void bring_x(const Launch& launch, const Tiles& tiles, Shared<type>& shared) {
  constexpr int kOwn = kTiles / kSharing;
  const int chunks = chunks_of(launch.cols), first = static_cast<int>(blockIdx.x) % kSharing * kOwn;
  Stage<kPairs<type>> stage{0, 1};
  for (int tile = first_tile(); tile < tiles.count; tile += tiles_apart()) {
    const int token = work_of(tiles, tile).first_token, count = min(kWidth, launch.rows - token + kTileRows - 1) / kTileRows;
    const uint32_t own = max(min(kOwn, count - first), 0) * kTileBytes;
    for (int chunk = 0; chunk < groups_of(launch.cols) * kGroupChunks; chunk += kPair, stage.next()) {
      wait(&shared.x_empty[stage.at], stage.parity);
      expect_bytes(&shared.x_full[stage.at], kPair * count * kTileBytes);
      for (int i = 0; i < kPair && own > 0; ++i) {
        const uint8_t* from = tile_address(launch.x, token, min(chunk + i, chunks - 1)) + first * kTileBytes;
        copy_bulk_to_blocks(shared.x[stage.at][i][first], from, own, &shared.x_full[stage.at], (1 << kSharing) - 1);
      }
    }
  }
}

// A consumer warp's panels, a piece at a time. In place of what is beyond the last panel, that one: its products are not written.
template <DType type, bool gated>
__device__ inline void bring_weights(const Launch& launch, const Tiles& tiles, Shared<type>& shared, int warp) {
  const int chunks = chunks_of(launch.cols), group = warp / kGroupPanels;
  Stage<kPieces<type>> stage{0, 1};
  for (int tile = first_tile(); tile < tiles.count; tile += tiles_apart()) {
    const int panel = min(panel_of<gated>(work_of(tiles, tile), warp), launch.panels - 1);
    const uint8_t* from = panel_data<gated>(launch, panel, matrix_of(warp));
#pragma unroll 1
    for (int chunk = 0; chunk < chunks; chunk += kPiece<type>, stage.next()) {
      const uint32_t bytes = min(kPiece<type>, chunks - chunk) * chunk_bytes(type) + packed_sizes(type).supers;
      uint64_t* full = &shared.weights_full[group][stage.at];
      wait(&shared.weights_empty[group][stage.at], stage.parity);
      expect_bytes(full, bytes);
      copy_bulk(shared.weights[group][stage.at][warp % kGroupPanels], from, bytes, full);
      from += kPieceBytes<type>;
    }
  }
}

}  // namespace kvasir::cuda::prompt
