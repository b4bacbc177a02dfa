#pragma once
// What a block of matmul_prompt_bf16.cu has in shared memory, and how it comes there.
#include "cuda/kernels/matmul_prompt_ends.cuh"
#include "cuda/kernels/matmul_prompt_gate.cuh"
#include "cuda/kernels/matmul_prompt_quads.cuh"

namespace kvasir::cuda {

inline constexpr int kPlaces = 5;  // stages, 64 k each
inline constexpr int kPanelBytes = chunk_bytes(DType::BF16);
// Tiles whose scales are in shared memory, in turns: a tile has at least as many chunks as there are stages, so that the one after the next
// comes when all warps have begun the next one.
inline constexpr int kScaleTurns = 2;
// Of the third warpgroup; where gated the fourth sends y.
template <bool gated>
inline constexpr int kCopyingWarps = gated ? 3 : 4;

template <bool gated>
struct QuadMemory {
  uint8_t weights[kPlaces][kPanels][kPanelBytes];
  uint8_t x[kPlaces][kQuadWidth / kTileRows][kTileBytes];
  std::conditional_t<gated, StagedY<kQuadWidth>, StagedSums> staged;
  float scales[kScaleTurns][kQuadWidth];
  uint64_t full[kPlaces], empty[kPlaces];
};

// Stage after stage of what is copied, by several warps: a warp's copies wait for each other, some 100 cycles each, so that each has two to
// four, by lanes of their own, of 64 tokens of x or of a panel, into all blocks that need it. One more lane says how much comes, and has a
// tile's scales copied with its first stage.
template <int token_tiles, bool gated>
class Copies {
 public:
  __device__ Copies(const Launch& launch, QuadMemory<gated>& shared, int warp)
      : launch_(launch), shared_(shared), number_(lane_of_warp() < kLanes ? warp + lane_of_warp() * kCopyingWarps<gated> : kCount + 1) {}

  __device__ void begin_tile(const Work& work) {
    tokens_ = max(0, min(kQuadWidth, launch_.rows - work.first_token));
    bytes_ = 0;
    if (number_ < kXCopies) {
      const int first = number_ * kCopiedTiles + work.rank % kSide * kOwnTiles;  // of the tile's tiles of tokens
      to_ = shared_.x[0][first], from_ = tile_address(launch_.x, work.first_token + first * kTileRows, 0);
      bytes_ = max(0, min(kOwnTiles, tiles_of(tokens_) - first)) * kTileBytes, blocks_ = Tiles<token_tiles>::mates_of_tokens(work.rank);
    } else if (number_ < kCount) {
      const int in_tile = work.rank / kSide * kWeightCopies + number_ - kXCopies;
      to_ = shared_.weights[0][in_tile], from_ = packed_panel_of<gated>(launch_, work, panel_in_tile(in_tile));
      bytes_ = kPanelBytes, blocks_ = Tiles<token_tiles>::mates_of_rows(work.rank);
    }
  }

  // A chunk of the tile to a stage.
  __device__ void copy(const Work& work, int chunk, int stage, int turn) {
    uint64_t* full = &shared_.full[stage];
    if (number_ == kCount) {
      const uint32_t scales = chunk == 0 && launch_.scales.values ? (tokens_ + 3) / 4 * 16 : 0;  // four are 16 bytes
      expect_bytes(full, tiles_of(tokens_) * kTileBytes + kPanels * kPanelBytes + scales);
      if (scales > 0) copy_bulk(shared_.scales[turn], launch_.scales.values + work.first_token, scales, full);
    } else if (bytes_ > 0) {
      copy_bulk_to_blocks(to_ + stage * (is_x() ? sizeof shared_.x[0] : sizeof shared_.weights[0]), from_, bytes_, full, blocks_);
      from_ += is_x() ? kBlockTiles * kTileBytes : kPanelBytes;
    }
  }

 private:
  // 64 tokens of x are one piece of memory, as tiles begin at multiples of 64.
  static_assert(kQuadWidth % 64 == 0);
  static constexpr int kCopiedTiles = 64 / kTileRows, kXCopies = kQuadWidth / 64, kOwnTiles = kCopiedTiles / kSide;
  static constexpr int kWeightCopies = kPanels / token_tiles, kCount = kXCopies + kWeightCopies, kLanes = kCount / kCopyingWarps<gated> + 1;

  // Panels of gate and up are by turns in the operand: a warp has rows of both.
  static __device__ int panel_in_tile(int in_tile) { return gated ? in_tile % 2 * (kPanels / 2) + in_tile / 2 : in_tile; }
  static __device__ int lane_of_warp() { return threadIdx.x % kWarp; }
  static __device__ int tiles_of(int tokens) { return (tokens + kTileRows - 1) / kTileRows; }
  __device__ bool is_x() const { return number_ < kXCopies; }

  const Launch& launch_;
  QuadMemory<gated>& shared_;
  const int number_;  // of the copy; kCount: none, but says how much comes
  int tokens_ = 0;
  uint8_t* to_ = nullptr;  // in the first stage
  const uint8_t* from_ = nullptr;
  uint32_t bytes_ = 0;
  uint16_t blocks_ = 0;
};

// All stages of all tiles of this block, by a warp of those that copy.
template <int token_tiles, bool gated>
__device__ inline void bring(const Launch& launch, const Tiles<token_tiles>& tiles, QuadMemory<gated>& shared, int warp) {
  const int chunks = chunks_of(launch.cols);
  Copies<token_tiles, gated> copies(launch, shared, warp);
  int stage = 0, parity = 1, turn = 0;
  for (int tile = tiles.first(); tile < tiles.count; tile += tiles.apart(), turn = (turn + 1) % kScaleTurns) {
    const Work work = tiles.work(tile);
    copies.begin_tile(work);
#pragma unroll 1
    for (int chunk = 0; chunk < chunks; ++chunk) {
      wait(&shared.empty[stage], parity);  // at first of a phase that never was
      __syncwarp();
      copies.copy(work, chunk, stage, turn);
      if (!gated && warp == 0) bring_residual<kQuadWidth>(launch, work, chunk);
      if (++stage == kPlaces) stage = 0, parity ^= 1;
    }
  }
}

}  // namespace kvasir::cuda
