#pragma once
// Which tiles of a prompt's matmul a block of matmul_prompt_bf16.cu has.
#include "cuda/kernels/matmul_tiles.cuh"

namespace kvasir::cuda {

inline constexpr int kQuadWidth = 192;  // tokens of a tile
inline constexpr int kSide = 2;         // tiles of a side of a quad
// Quads, side by side along the tokens, that are run with all weights before the next: their x stays in L2.
inline constexpr int kTokenQuads = 4;

// A launch's quads: two tiles of rows by two of tokens. A tile has kPanels panels, of gate and up half as many of each. Where tiles of
// tokens are odd, the last quads have no second one.
struct Quads {
  int of_rows, of_tokens, whole, count;  // of_tokens: of whole ones

  Quads(const Launch& launch, bool gated)
      : of_rows((launch.panels - 1) / ((gated ? kPanels / 2 : kPanels) * kSide) + 1),
        of_tokens(tiles_of(launch) / kSide),
        whole(of_rows * of_tokens),
        count(whole + of_rows * (tiles_of(launch) % kSide)) {}

  // The halves, one tile of tokens each, of this quad and all after it.
  int halves_from(int quad) const { return count - quad + (quad < whole ? whole - quad : 0); }

 private:
  static int tiles_of(const Launch& launch) { return (launch.rows - 1) / kQuadWidth + 1; }
};

// Those of a kernel: so many from one on, or halves of them.
struct Share {
  Quads quads;
  int begin, count;
};

// A kernel's tiles, as its clusters run them one after the other: of quads, or, where a cluster has one tile of tokens, of halves of them.
template <int token_tiles>
struct Tiles {
  static constexpr int kCluster = kSide * token_tiles;
  static constexpr int kMates = kSide + token_tiles - 1;  // blocks that copy into a block's stages, itself among them

  const Share& share;
  const int count;

  __device__ explicit Tiles(const Share& share) : share(share), count(share.count) {}

  // Blocks stay: the first tile of this one's cluster, and from each to its next one.
  __device__ int first() const { return blockIdx.x / kCluster; }
  __device__ int apart() const { return gridDim.x / kCluster; }

  // Where this block works.
  __device__ Work work(int tile) const {
    const int rank = static_cast<int>(blockIdx.x) % kCluster;
    if (token_tiles == kSide) return work_of(share.begin + tile, rank / kSide, rank);
    const int halves = max(0, share.quads.whole - share.begin) * kSide;  // of whole quads
    if (tile < halves) return work_of(share.begin + tile / kSide, tile % kSide, rank);
    return work_of(max(share.quads.whole, share.begin) + tile - halves, 0, rank);
  }

  // The blocks of a cluster, by rank, as bits: those with the same tokens, and those with the same rows.
  static __device__ uint16_t mates_of_tokens(int rank) { return static_cast<uint16_t>(0b0011 << rank / kSide * kSide); }
  static __device__ uint16_t mates_of_rows(int rank) {
    return static_cast<uint16_t>((token_tiles == kSide ? 0b0101 : 0b0001) << rank % kSide);
  }

 private:
  // Some tokens with all weights, then the next tokens.
  __device__ Work work_of(int quad, int half, int rank) const {
    const Quads& quads = share.quads;
    int row = quad - quads.whole, tokens = quads.of_tokens;
    if (row < 0) {
      const int group = quad / (quads.of_rows * kTokenQuads), in_group = quad % (quads.of_rows * kTokenQuads);
      const int of_group = min(kTokenQuads, quads.of_tokens - group * kTokenQuads);
      row = in_group / of_group, tokens = group * kTokenQuads + in_group % of_group;
    }
    return {row * kSide + rank % kSide, (tokens * kSide + half) * kQuadWidth, rank, 0, kRanges};
  }
};

}  // namespace kvasir::cuda
