// matmul of many tokens on Hopper's tensor cores, for packed weights and bfloat16 x: y[t][n] = scale[t] sum_k W[n][k] x[t][k] + bias[n]
//
//   W     panels of 16 rows (cuda/packed.cuh)      x [rows, K] bfloat16 in tiles (activations.cuh)      y [rows, N]
//
// wgmma m64nNk16: a block has 128 rows of weights (two warpgroups of 64; of gate and up where gated) and up to `width` tokens. A warp streams
// its panel into shared memory and makes operand A of it in registers, a chunk of 64 k while the tensor cores multiply the one before; the
// first warp has x copied, too. Per chunk a block reads 128 * width bytes of x and 8 chunks of weights for 16384 * width operations.
//
// Where there are fewer tiles than multiprocessors have room for, `ranks` blocks share a tile, each with some of its ranges of k. They put
// each range's sums into memory that stays in L2, wait for each other, and each adds its share of all ranges' sums,
// ascending. Clusters that add through each other's shared memory were slower: of 32 clusters of eight blocks an H200 holds 30 at once.
//
// Bytes: the weights once for each `width` tokens; split, 32 * N * width of sums to L2 and back. Operations: 2 * rows * N * K. Limited by
// memory at 16 bits; at 4 by instructions, some 90 for 1024 weights, of which 40 unpack. Of more tokens, where tiles of 128 by 128 keep all
// multiprocessors busy: matmul_prompt.cu.
#include "cuda/kernels/formats.cuh"
#include "cuda/kernels/launch.h"
#include "cuda/kernels/matmul_ends.cuh"
#include "cuda/kernels/matmul_split.cuh"
#include "cuda/kernels/matmul_tensor.h"

namespace kvasir::cuda {
namespace {

constexpr int kThreads = kConsumers * kGroupThreads;
constexpr int kStagesOfX = kGroupChunks;  // a chunk each

// Chunks that a warp copies at once: half as many as elsewhere, as x takes its part of shared memory.
template <DType type>
inline constexpr int kWidePiece = is_half(type)     ? 1
                                  : has_bytes(type) ? 2
                                                    : kGroupChunks;
// Whether a block's totals are in shared memory, for want of registers.
template <int width, bool split>
inline constexpr bool kTotalsAside = width > 32 && !split;

template <DType type, int width, bool split>
struct Shared {
  static constexpr size_t kTotals = kTotalsAside<width, split> ? width / 2 * kThreads : 0;  // floats
  static constexpr size_t kFixed = kStagesOfX * width / kTileRows * kTileBytes + kTotals * sizeof(float);
  static constexpr size_t kPieceSize = kPieceBytes<type, kWidePiece<type>>, kMostRing = 16 << 10;
  // Blocks of a multiprocessor.
  static constexpr int kBlocks = kFixed + kPanels * 2 * kPieceSize <= 112 << 10 ? 2 : 1;
  static constexpr size_t kRoom = ((224 << 10) / kBlocks - kFixed) / kPanels;
  static constexpr int kPieces = static_cast<int>((kRoom < kMostRing ? kRoom : kMostRing) / kPieceSize);
  static_assert(kPieces >= 2);

  uint8_t x[kStagesOfX][width / kTileRows][kTileBytes];
  uint8_t rings[kPanels][kPieces * kPieceSize];
  float4 totals[kTotals > 0 ? kTotals / 4 : 1];
  uint64_t full[kPanels][kPieces];
  uint64_t x_full[kStagesOfX], x_empty[kStagesOfX];
};

__device__ inline Work work_of_block(const Launch& launch, int width) {
  const int tile = static_cast<int>(blockIdx.x) / launch.ranks, rank = static_cast<int>(blockIdx.x) % launch.ranks;
  return {tile, static_cast<int>(blockIdx.y) * width, rank, kRanges * rank / launch.ranks, kRanges * (rank + 1) / launch.ranks};
}

// Stages of x: an elected lane of the first warp has the next one copied when all warps have released its place.
template <class Shared>
class StagesOfX {
 public:
  __device__ StagesOfX(const Launch& launch, const Work& work, int width, int chunk, int end, Shared& shared)
      : shared_(shared),
        operand_(operand_of_tiles(shared.x[0][0], 0)),
        from_(tile_address(launch.x, work.first_token, 0)),
        bytes_(min(width, launch.rows - work.first_token + kTileRows - 1) / kTileRows * kTileBytes),
        brings_(threadIdx.x < kWarp),
        chunk_(chunk),
        last_(chunks_of(launch.cols) - 1),
        end_(end) {
    for (int stage = 0; stage < kStagesOfX; ++stage) bring();
  }

  // Stage i of the group, when it has come.
  __device__ void take(int i) { wait(&shared_.x_full[i], group_parity_); }
  __device__ void next_group() { group_parity_ ^= 1; }
  __device__ uint64_t operand(int i, int step) const { return operand_at(operand_, i * sizeof shared_.x[0] + step * 2 * kCoreBytes); }
  // The warp's products with stage i are done.
  __device__ void release(int i) {
    if (threadIdx.x % kWarp == 0) arrive(&shared_.x_empty[i]);
    bring();
  }

 private:
  // The next stage; at first of phases that never were. Groups are whole: the last chunk again where one lacks some.
  __device__ void bring() {
    if (!brings_ || chunk_ >= end_) return;
    if (elect()) {
      wait(&shared_.x_empty[stage_], parity_);
      expect_bytes(&shared_.x_full[stage_], bytes_);
      copy_bulk(shared_.x[stage_], from_ + int64_t(min(chunk_, last_)) * (kBlockTiles * kTileBytes), bytes_, &shared_.x_full[stage_]);
    }
    ++chunk_;
    if (++stage_ == kStagesOfX) stage_ = 0, parity_ ^= 1;
  }

  Shared& shared_;
  const uint64_t operand_;
  const uint8_t* from_;
  const uint32_t bytes_;
  const bool brings_;
  int chunk_, stage_ = 0, parity_ = 1;  // of the next to be brought
  const int last_, end_;
  int group_parity_ = 0;
};

// The products of this warp's panel with the block's tokens; `keep(range, sums)` takes each range's. While the tensor cores multiply a chunk, the
// next one is made ready: of two operands A one is theirs. All warps of a warpgroup run each wgmma, those without a panel, too.
template <DType type, int width, class Weights, class X, class Keep>
__device__ inline void multiply_ranges(const Launch& launch, const Work& work, int chunks_end, Weights& weights, X& x, const Keep& keep) {
  const int lane = threadIdx.x % kWarp, groups = groups_of(launch.cols);
  Chunk a[2];
  const uint8_t* piece = nullptr;
  const auto make_ready = [&](int in_group, int chunk, Chunk& operand) {
    if (chunk < chunks_end) {
      if (in_group % kWidePiece<type> == 0) piece = weights.take();
      load_operand<type>(piece, in_group % kWidePiece<type>, lane, operand);
    } else {
#pragma unroll
      for (int i = 0; i < 16; ++i) operand[i / 4][i % 4] = 0;
    }
  };
  make_ready(0, range_begin(launch.cols, work.range), a[0]);
  for (int range = work.range; range < work.end_range; ++range) {
    const int begin = first_group(groups, range), end = first_group(groups, range + 1);
    if (begin == end) continue;  // of a short K
    Sums<width> sums;
#pragma unroll 1
    for (int group = begin; group < end; ++group) {
#pragma unroll
      for (int i = 0; i < kGroupChunks; ++i) {
        x.take(i);
        wgmma_fence();
#pragma unroll
        for (int step = 0; step < 4; ++step) {
          wgmma(__nv_bfloat16(), sums, a[i % 2][step], x.operand(i, step), i > 0 || step > 0 || group > begin);
        }
        wgmma_commit();
        if (i % kWidePiece<type> == kWidePiece<type> - 1) weights.release();  // its last chunk is in registers: it is being multiplied
        wgmma_wait<1>();
        hold(a[(i + 1) % 2]);
        if (i > 0 || group > begin) x.release((i + kGroupChunks - 1) % kGroupChunks);
        make_ready((i + 1) % kGroupChunks, group * kGroupChunks + i + 1, a[(i + 1) % 2]);
      }
      x.next_group();
    }
    wgmma_wait<0>();
    hold(sums), hold(a[0]), hold(a[1]);
    x.release(kGroupChunks - 1);
    keep(range, sums);
  }
}

// A tile whose ranges other blocks have, too.
template <DType type, int width, bool gated, class Weights, class X>
__device__ inline void multiply_split(const Launch& launch, const Work& work, int warp, int chunks_end, Weights& weights, X& x) {
  constexpr int kMatrices = gated ? 2 : 1, kOwnPanels = kPanels / kMatrices;
  const int tile = static_cast<int>(blockIdx.y * gridDim.x) / launch.ranks + work.row_tile, panel = panel_of<gated>(work, warp);
  const int own = tile * kOwnPanels + warp % kOwnPanels, matrix = warp / kOwnPanels, warps = launch.ranks * kMatrices;
  const bool present = panel < launch.panels;
  multiply_ranges<type, width>(launch, work, chunks_end, weights, x, [&](int range, const Sums<width>& sums) {
    if (present) put_range<width>(place_of_range<width>(launch.split, own * kMatrices + matrix, range), sums);
  });
  if (!present) return;
  uint32_t* arrived = &launch.split.arrived[own];
  meet(arrived, warps);
  write_share<width, gated>(launch, work, panel, own * kMatrices, work.rank * kMatrices + matrix, warps);
  leave(arrived, warps);
}

// The totals of a tile of which this block has all ranges.
template <DType type, int width, class Weights, class X>
__device__ inline void add_whole_tile(const Launch& launch, const Work& work, int chunks_end, float4* aside, Weights& weights, X& x,
                                      Sums<width>& totals) {
  if constexpr (kTotalsAside<width, false>) {
#pragma unroll
    for (int i = 0; i < width / 8; ++i) aside[i * kThreads] = {};
    multiply_ranges<type, width>(launch, work, chunks_end, weights, x, [&](int, const Sums<width>& sums) {
#pragma unroll
      for (int i = 0; i < width / 8; ++i) {
        const float4 own = aside[i * kThreads];
        aside[i * kThreads] = {own.x + sums[4 * i], own.y + sums[4 * i + 1], own.z + sums[4 * i + 2], own.w + sums[4 * i + 3]};
      }
    });
#pragma unroll
    for (int i = 0; i < width / 8; ++i) {
      const float4 own = aside[i * kThreads];
      totals[4 * i] = own.x, totals[4 * i + 1] = own.y, totals[4 * i + 2] = own.z, totals[4 * i + 3] = own.w;
    }
  } else {
    for (float& total : totals) total = 0;
    multiply_ranges<type, width>(launch, work, chunks_end, weights, x, [&](int, const Sums<width>& sums) {
#pragma unroll
      for (int i = 0; i < width / 2; ++i) totals[i] += sums[i];
    });
  }
}

template <DType type, int width, bool split, bool gated>
__global__ void __launch_bounds__(kThreads, (Shared<type, width, split>::kBlocks)) wide_matmul(const __grid_constant__ Launch launch) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  using Memory = Shared<type, width, split>;
  extern __shared__ __align__(1024) uint8_t memory[];
  auto& shared = *reinterpret_cast<Memory*>(memory);
  const Work work = work_of_block(launch, width);
  const int warp = uniform(static_cast<int>(threadIdx.x) / kWarp);
  const int begin = range_begin(launch.cols, work.range), end = range_begin(launch.cols, work.end_range);
  init_stages(shared.x_full, shared.x_empty, kPanels);
  const auto no_other = []() -> const uint8_t* { return nullptr; };
  WeightStream<type, kWidePiece<type>, true, decltype(no_other)> weights(shared.rings[warp], shared.full[warp], Memory::kPieces, begin, end,
                                                                         no_other, packed_panel_of<gated>(launch, work, warp));
  __syncthreads();
  wait_in_turn();
  const int groups_end = first_group(groups_of(launch.cols), work.end_range);
  StagesOfX<Memory> x(launch, work, width, begin, groups_end * kGroupChunks, shared);
  if constexpr (split) {
    multiply_split<type, width, gated>(launch, work, warp, end, weights, x);
  } else {
    Sums<width> totals;
    add_whole_tile<type, width>(launch, work, end, shared.totals + threadIdx.x, weights, x, totals);
    scale_sums<width>(launch, work, totals);
    if constexpr (gated) {
      write_products<width>(launch, work, *reinterpret_cast<Products*>(memory), warp, totals);
    } else if (launch.added.x.data) {
      add_whole<width>(launch, work, warp, totals);
    } else {
      write_whole<width>(launch, work, warp, totals);
    }
  }
#else
  __trap();  // without wgmma nothing is to be launched here
#endif
}

struct TilesOf {
  int rows, tokens;
};

// How many blocks share a tile: as many as all fit on the multiprocessors at once, and have something to do.
template <DType type, int width>
int ranks_of(const Launch& launch, const TilesOf& tiles) {
  static_assert(SplitSums::kMostPanels * 32 == SplitSums::kMostTileTokens * kPanels);  // tiles of 32 tokens have the most panels
  const int count = tiles.rows * tiles.tokens, most = Shared<type, width, true>::kBlocks * processors();
  if (launch.split.sums == nullptr || count * width > SplitSums::kMostTileTokens) return 1;
  int ranks = 1;
  while (ranks * 2 <= std::min(kRanges, groups_of(launch.cols)) && count * ranks * 2 <= most) ranks *= 2;
  return ranks;
}

template <DType type, int width, bool split, bool gated>
void launch_kernel(const Launch& launch, const TilesOf& tiles, cudaStream_t stream) {
  const Grid grid{
      .blocks = dim3(tiles.rows * launch.ranks, tiles.tokens), .threads = kThreads, .shared = sizeof(Shared<type, width, split>)};
  cuda::launch("matmul of many tokens", wide_matmul<type, width, split, gated>, grid, stream, launch);
}

template <DType type, int width, bool gated>
void launch_width(Launch launch, cudaStream_t stream) {
  const int panels = gated ? kPanels / 2 : kPanels;
  const TilesOf tiles{(launch.panels + panels - 1) / panels, (launch.rows + width - 1) / width};
  launch.ranks = ranks_of<type, width>(launch, tiles);
  if (launch.ranks > 1) return launch_kernel<type, width, true, gated>(launch, tiles, stream);
  launch_kernel<type, width, false, gated>(launch, tiles, stream);
}

template <DType type, bool gated>
void choose_width(const Launch& launch, cudaStream_t stream) {
  if (launch.rows <= 32) return launch_width<type, 32, gated>(launch, stream);
  if (launch.rows <= 64) return launch_width<type, 64, gated>(launch, stream);
  launch_width<type, 128, gated>(launch, stream);
}

}  // namespace

void multiply_wide(DType type, bool gated, const Launch& launch, cudaStream_t stream) {
  if (is_prompt(launch.rows, launch.panels, gated)) return multiply_prompt(type, gated, launch, stream);
  with_packed_type(type, [&](auto constant) {
    if (gated) return choose_width<constant, true>(launch, stream);
    choose_width<constant, false>(launch, stream);
  });
}

}  // namespace kvasir::cuda
