// matmul of a prompt's tokens on Hopper's tensor cores, for packed weights and bfloat16 x:
//
//   y[t][n] = scale[t] sum_k W[n][k] x[t][k] + bias[n]       or of gate and up  activation(gate) * up,
//                                                            or the sum and the norm of the add_norm that follows, but for its scale:
//   r[t][n] += s y[t][n],  x'[t][n] = r[t][n] w[n],  squares of r (row_scales.cuh)
//
//   W     panels of 16 rows (cuda/packed.cuh)      x [rows, K] bfloat16 in tiles (activations.cuh)      y [rows, N]
//
// Where that is not quicker by matmul_prompt_bf16.cu. As matmul_wide.cu, for so many tokens that every multiprocessor has tiles
// of 128 rows by 128 tokens to itself: blocks stay and go from tile to tile, so that weights and x of the next one are on their way while
// this one's sums are written. A cluster's blocks have the same tokens and rows of their own; each copies its part of x into all of them. k
// goes by groups of 256, in two pairs of chunks: while one is multiplied (2 x 512 cycles of the tensor cores for both warpgroups), the
// other is unpacked, and the tensor cores always have the next one before they end.
//
// Bytes: an end reads and writes r and writes x', 10 a number, beside no products; per 128 k a block reads 16 chunks of weights and 32 KiB
// / kSharing of x for 4.2 million operations. Limited by shared memory, of bf16 (160 bytes a cycle if the tensor cores never waited; it gives
// 128); of quantized weights by what unpacks them, some 65 instructions of a warp a chunk.
#include "cuda/kernels/formats.cuh"
#include "cuda/kernels/launch.h"
#include "cuda/kernels/matmul_prompt_ends.cuh"
#include "cuda/kernels/matmul_tensor.h"

namespace kvasir::cuda {
namespace {

constexpr int kThreads = (kConsumers + 1) * kGroupThreads;  // a warp of the last warpgroup brings x
constexpr int kWidth = kPromptTokens;                       // of a tile
static_assert(kPanels == kPromptPanels);
constexpr int kTiles = kWidth / kTileRows;
constexpr int kPair = 2;     // chunks that are multiplied at once
constexpr int kSharing = 2;  // blocks of a cluster: of four, each waits too often for the slowest

// Pairs of x, and pieces of weights, under way.
template <DType type>
inline constexpr int kPairs = is_half(type) ? 3 : 4;
template <DType type>
inline constexpr int kPieces = is_half(type) ? 3 : kStages<type>;

// Tiles whose scales are in shared memory: x is at most kPairs pairs ahead of the products, which are two tiles where K is 256, and the
// sums of the tile before may still be on their way out.
constexpr int kScaleTurns = 4;

template <DType type>
struct Shared {
  float scales[kScaleTurns][kWidth];
  uint8_t x[kPairs<type>][kPair][kTiles][kTileBytes];
  uint8_t rings[kPanels][kPieces<type> * kPieceBytes<type>];
  StagedSums staged;
  uint64_t full[kPanels][kPieces<type>];
  uint64_t x_full[kPairs<type>], x_empty[kPairs<type>];
};

// Tiles of a launch: groups of kSharing tiles of rows, one for each block of a cluster, with each tile of tokens.
struct Tiles {
  int of_tokens, count;

  __host__ __device__ Tiles(const Launch& launch, bool gated) : of_tokens((launch.rows + kWidth - 1) / kWidth) {
    const int panels = (gated ? kPanels / 2 : kPanels) * kSharing;
    count = (launch.panels + panels - 1) / panels * of_tokens;
  }
};
// The first tile of this block's cluster, and from each to its next one.
[[maybe_unused]] __device__ inline int first_tile() {
  return blockIdx.x / kSharing;
}
[[maybe_unused]] __device__ inline int tiles_apart() {
  return gridDim.x / kSharing;
}
// Where this block works; tokens after tokens with the same weights.
[[maybe_unused]] __device__ inline Work work_of(const Tiles& tiles, int tile) {
  const int rank = blockIdx.x % kSharing;
  return {tile / tiles.of_tokens * kSharing + rank, tile % tiles.of_tokens * kWidth, rank, 0, kRanges};
}
// Which of a block's tiles it is, as far as its scales' place goes.
[[maybe_unused]] __device__ inline int scale_turn(int tile) {
  return tile / tiles_apart() % kScaleTurns;
}

// x of tile after tile into shared memory, a pair of chunks at a time, in whole groups (the last chunk again where one lacks some); of each
// chunk this block's part into all blocks of the cluster. With a tile's first pair come its scales. By a warp.
template <DType type>
__device__ inline void bring_x(const Launch& launch, const Tiles& tiles, Shared<type>& shared) {
  constexpr int kOwn = kTiles / kSharing;
  const int chunks = chunks_of(launch.cols), first = static_cast<int>(blockIdx.x) % kSharing * kOwn;
  int stage = 0, parity = 1;
  for (int tile = first_tile(); tile < tiles.count; tile += tiles_apart()) {
    const Work work = work_of(tiles, tile);
    const int token = work.first_token, count = min(kWidth, launch.rows - token + kTileRows - 1) / kTileRows;
    const uint32_t own = max(min(kOwn, count - first), 0) * kTileBytes, scale_bytes = launch.scales.values ? sizeof shared.scales[0] : 0;
    for (int chunk = 0; chunk < groups_of(launch.cols) * kGroupChunks; chunk += kPair) {
      wait(&shared.x_empty[stage], parity);  // at first of a phase that never was
      if (elect()) {
        expect_bytes(&shared.x_full[stage], kPair * count * kTileBytes + (chunk == 0 ? scale_bytes : 0));
        if (chunk == 0 && scale_bytes > 0)
          copy_bulk(shared.scales[scale_turn(tile)], launch.scales.values + token, scale_bytes, &shared.x_full[stage]);
        for (int i = 0; i < kPair && own > 0; ++i) {
          const uint8_t* from = tile_address(launch.x, token, min(chunk + i, chunks - 1)) + first * kTileBytes;
          copy_bulk_to_blocks(shared.x[stage][i][first], from, own, &shared.x_full[stage], (1 << kSharing) - 1);
        }
      }
      __syncwarp();
      bring_residual<kWidth>(launch, work, chunk / kPair);
      if (++stage == kPairs<type>) stage = 0, parity ^= 1;
    }
  }
}

// A warp's operands A, a pair of chunks after the other; zeros where there is no chunk.
template <DType type, class Weights>
struct Operands {
  Weights& weights;
  const int chunks;
  const uint8_t* piece = nullptr;

  __device__ void take(int first_chunk, Chunk (&a)[kPair]) {
#pragma unroll
    for (int i = 0; i < kPair; ++i) {
      const int chunk = first_chunk + i, in_piece = chunk % kPiece<type>;
      if (chunk < chunks) {
        if (in_piece == 0) piece = weights.take();
        load_operand<type>(piece, in_piece, threadIdx.x % kWarp, a[i]);
      } else {
        for (int j = 0; j < 16; ++j) a[i][j / 4][j % 4] = 0;
      }
    }
  }
  // The pair from this chunk on is being multiplied.
  __device__ void release(int first_chunk) {
    if ((first_chunk + kPair) % kPiece<type> == 0 && first_chunk / kPiece<type> * kPiece<type> < chunks) weights.release();
  }
};

// Stages of x as the consumers go through them.
template <DType type>
struct Pairs {
  Shared<type>& shared;
  int stage = 0, parity = 0;

  // sums (+)= a x, begun; then the stage is that of the next pair.
  __device__ void multiply(const Chunk (&a)[kPair], Sums<kWidth>& sums, bool add) {
    wait(&shared.x_full[stage], parity);
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < 4 * kPair; ++step) {
      wgmma(__nv_bfloat16(), sums, a[step / 4][step % 4], operand_of_tiles(shared.x[stage][step / 4][0], step % 4), add || step > 0);
    }
    wgmma_commit();
    if (++stage == kPairs<type>) stage = 0, parity ^= 1;
  }
  // All products with the pair before the last `behind` are done.
  __device__ void release(int behind) {
    int done = stage - 1 - behind;
    if (done < 0) done += kPairs<type>;
    const int lane = threadIdx.x % kWarp;
    if (lane < kSharing) arrive_in_block(&shared.x_empty[done], lane);
  }
};

// The products of this warp's panels with all tiles of tokens; `end(tile, totals)` takes a tile's. A group of k is two pairs: while the
// tensor cores multiply one, the other is unpacked.
template <DType type, class Weights, class End>
__device__ inline void multiply_tiles(const Launch& launch, const Tiles& tiles, Shared<type>& shared, Weights& weights, const End& end) {
  Operands<type, Weights> operands{weights, chunks_of(launch.cols)};
  Pairs<type> x{shared};
  Chunk first[kPair];
  const int groups = groups_of(launch.cols);
  if (first_tile() < tiles.count) operands.take(0, first);
  for (int tile = first_tile(); tile < tiles.count; tile += tiles_apart()) {
    // Zeros, though no product reads them: what nothing defines has registers everywhere, at the tile's end, too.
    Sums<kWidth> sums = {}, totals = {};
    Chunk second[kPair] = {};
#pragma unroll 1
    for (int range = 0; range < kRanges; ++range) {
      const int begin = first_group(groups, range), range_end = first_group(groups, range + 1);
      if (begin == range_end) continue;
#pragma unroll 1
      for (int group = begin; group < range_end; ++group) {
        x.multiply(first, sums, group > begin);
        operands.release(group * kGroupChunks);
        wgmma_wait<1>();
        hold(second[0]), hold(second[1]);
        if (group > begin) x.release(1);
        operands.take(group * kGroupChunks + kPair, second);
        x.multiply(second, sums, true);
        operands.release(group * kGroupChunks + kPair);
        wgmma_wait<1>();
        hold(first[0]), hold(first[1]);
        x.release(1);
        const bool last = group + 1 == groups;
        if (!last || tile + tiles_apart() < tiles.count) operands.take(last ? 0 : (group + 1) * kGroupChunks, first);
      }
      wgmma_wait<0>();
      hold(sums), hold(second[0]), hold(second[1]);
      x.release(0);
#pragma unroll
      for (int i = 0; i < kWidth / 2; ++i) totals[i] += sums[i];
    }
    end(tile, totals);
  }
}

template <DType type, bool gated>
__global__ void __launch_bounds__(kThreads, 1) prompt_matmul(const __grid_constant__ Launch launch) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) uint8_t memory[];
  auto& shared = *reinterpret_cast<Shared<type>*>(memory);
  const Tiles tiles(launch, gated);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  init_stages(shared.x_full, shared.x_empty, kPanels * kSharing);
  sync_cluster();
  let_next_kernel_start();
  if (warp >= kPanels) {
    leave_registers<40>();
    wait_for_kernel_before();
    if (warp == kPanels) bring_x<type>(launch, tiles, shared);
  } else {
    take_registers<232>();
    int tile = first_tile();
    const auto next_panel = [&]() -> const uint8_t* {
      if (tile >= tiles.count) return nullptr;
      const Work work = work_of(tiles, tile);
      tile += tiles_apart();
      return packed_panel_of<gated>(launch, work, warp);
    };
    WeightStream<type, kPiece<type>, false, decltype(next_panel)> weights(shared.rings[warp], shared.full[warp], kPieces<type>, 0,
                                                                          chunks_of(launch.cols), next_panel);
    wait_for_kernel_before();
    multiply_tiles<type>(launch, tiles, shared, weights, [&](int ended, Sums<kWidth>& totals) {
      using End = std::conditional_t<gated, GatedEnd, ColumnsEnd<kWidth, false>>;
      const float* scales = launch.scales.values ? shared.scales[scale_turn(ended)] : nullptr;
      end_tile<End, kWidth>(launch, work_of(tiles, ended), warp * kPanelRows + row_of_sum(0), 8, shared.staged, totals, scales);
    });
  }
  sync_cluster();  // no block leaves while another copies into it or arrives there
#else
  __trap();  // without wgmma nothing is to be launched here
#endif
}

template <DType type, bool gated>
void launch_kernel(const Launch& launch, cudaStream_t stream) {
  constexpr const char* kName = "matmul of a prompt";
  Grid grid{.blocks = {}, .threads = kThreads, .shared = sizeof(Shared<type>), .cluster = kSharing};
  static OfDevice resident;
  const int clusters = resident.get([&] { return resident_clusters(kName, prompt_matmul<type, gated>, grid); });
  grid.blocks = dim3(std::min(clusters, Tiles(launch, gated).count) * kSharing);
  cuda::launch(kName, prompt_matmul<type, gated>, grid, stream, launch);
}

}  // namespace

void multiply_prompt(DType type, bool gated, const Launch& launch, cudaStream_t stream) {
  if (multiply_prompt_bf16(type, gated, launch, stream)) return;
  with_packed_type(type, [&](auto constant) {
    if (gated) return launch_kernel<constant, true>(launch, stream);
    launch_kernel<constant, false>(launch, stream);
  });
}

}  // namespace kvasir::cuda
