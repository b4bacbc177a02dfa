// matmul of many tokens on Hopper's tensor cores, for packed weights and bfloat16 x: y[t][n] = scale[t] sum_k W[n][k] x[t][k] + bias[n]
//
//   W     panels of 16 rows (cuda/packed.cuh)      x [rows, K] bfloat16 in tiles (activations.cuh)      y [rows, N]
//
// wgmma m64nNk16: a block has 128 rows of weights (two warpgroups of 64; of gate and up where gated) and up to `width` tokens. A warp streams
// its panel into shared memory and makes operand A of it in registers; one more warp has tiles of x copied, 64 k at a time. Per 64 k a block
// reads 128 * width bytes of x and 8 chunks of weights for 16384 * width operations.
//
// A cluster of `ranks` blocks shares out the ranges of k, so that few tokens have all multiprocessors: each block sums its own ranges, then all
// add all ranges' sums through each other's shared memory. Of one rank, a block keeps a total in registers. The order of sums is the same:
// see matmul_launch.cuh.
//
// Bytes: the weights once for each `width` tokens. Operations: 2 * rows * N * K. Limited by memory up to some 64 tokens; more, where tiles of 128
// by 128 keep all multiprocessors busy, are matmul_prompt.cu's.
#include "cuda/kernels/formats.cuh"
#include "cuda/kernels/launch.h"
#include "cuda/kernels/matmul_ends.cuh"
#include "cuda/kernels/matmul_tensor.h"

namespace kvasir::cuda {
namespace {

// Stages of x, 64 k each.
template <int width>
inline constexpr int kSteps = width == 32 ? 8 : 4;

template <DType type, int width>
struct Shared {
  uint8_t x[kSteps<width>][width / kTileRows][kTileBytes];  // after the products, sums of the block
  uint8_t rings[kPanels][kRingBytes<type>];
  uint64_t full[kPanels][kStages<type>];
  uint64_t x_full[kSteps<width>], x_empty[kSteps<width>];
};

template <int width, int ranks>
__device__ inline Work work_of_block() {
  if (ranks == 1) return {static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.x) * width, 0, 0, kRanges};
  const int rank = blockIdx.x % ranks, range = rank * (kRanges / ranks);
  return {static_cast<int>(blockIdx.x) / ranks, static_cast<int>(blockIdx.y) * width, rank, range, range + kRanges / ranks};
}

// Step after step of x into shared memory.
template <DType type, int width>
__device__ inline void bring_x(const Launch& launch, const Work& work, Shared<type, width>& shared) {
  if (threadIdx.x % kGroupThreads != 0) return;
  const uint32_t bytes = min(width, launch.rows - work.first_token + kTileRows - 1) / kTileRows * kTileBytes;
  const int begin = range_begin(launch.cols, work.range), end = range_begin(launch.cols, work.end_range);
  for (int chunk = begin; chunk < end; ++chunk) {
    const int turn = chunk - begin, stage = turn % kSteps<width>;
    if (turn >= kSteps<width>) wait(&shared.x_empty[stage], (turn / kSteps<width> - 1) % 2);
    expect_bytes(&shared.x_full[stage], bytes);
    copy_bulk(shared.x[stage], tile_address(launch.x, work.first_token, chunk), bytes, &shared.x_full[stage]);
  }
}

// Keeps the sums of a block's range: added to the total, or as they are.
template <int ranks, int count>
__device__ inline void add_range(const float (&sums)[count], int range, float (&results)[kResults<ranks>][count]) {
#pragma unroll
  for (int i = 0; i < count; ++i) {
    if (ranks == 1) results[0][i] += sums[i];
    if (ranks > 1 && range == 0) results[0][i] = sums[i];
    if (ranks > 1 && range > 0) results[kResults<ranks> - 1][i] = sums[i];
  }
}

// The products of this warp's panel with the block's tokens: the total over the block's ranges, or where others have ranges, too, the sums of each.
// While the tensor cores multiply a chunk, the next one is made ready. Without a panel the warp multiplies with zeros: all warps of a
// warpgroup run each wgmma.
template <DType type, int width, int ranks, class Weights>
__device__ inline void multiply_ranges(const Launch& launch, const Work& work, Shared<type, width>& shared, Weights& weights, bool present,
                                       Sums<width> (&results)[kResults<ranks>]) {
  const int lane = threadIdx.x % kWarp, begin = range_begin(launch.cols, work.range), end = range_begin(launch.cols, work.end_range);
  constexpr int kTurns = kSteps<width>;
  int range = work.range - 1, range_end = begin;
  Sums<width> own;
  Sums<width>& sums = ranks == kRanges ? results[0] : own;  // of one range there is nothing to add
  Chunk a, next = {};
  const uint8_t* piece = nullptr;
  if (present && begin < end) take_chunk<type>(weights, piece, begin, end, lane, next);
#pragma unroll
  for (int i = 0; i < kResults<ranks> * width / 2; ++i) results[i / (width / 2)][i % (width / 2)] = 0;
#pragma unroll 1
  for (int chunk = begin, turn = 0; chunk < end; ++chunk, ++turn) {
    const bool first = chunk == range_end;  // of its range
    while (chunk == range_end) range_end = range_begin(launch.cols, ++range + 1);
#pragma unroll
    for (int i = 0; i < 16; ++i) a[i / 4][i % 4] = next[i / 4][i % 4];
    const int stage = turn % kTurns;
    wait(&shared.x_full[stage], turn / kTurns % 2);
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      wgmma(__nv_bfloat16(), sums, a[step], operand_of_tiles(shared.x[stage][0], step), !first || step > 0);
    }
    wgmma_commit();
    if (present && chunk + 1 < end) take_chunk<type>(weights, piece, chunk + 1, end, lane, next);
    wgmma_wait<0>();
    hold(a);
    if (lane == 0) arrive(&shared.x_empty[stage]);
    if (chunk + 1 < range_end) continue;
    hold(sums);
    if (ranks < kRanges) add_range<ranks>(sums, range - work.range, results);
  }
}

// Blocks of a multiprocessor, as registers allow.
template <int width, int ranks>
inline constexpr int kBlocks = width == 32 || (width == 64 && ranks == kRanges) ? 2 : 1;

template <DType type, int width, int ranks, bool gated>
__global__ void __launch_bounds__(kThreads, kBlocks<width, ranks>) wide_matmul(const __grid_constant__ Launch launch) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) uint8_t memory[];
  auto& shared = *reinterpret_cast<Shared<type, width>*>(memory);
  const Work work = work_of_block<width, ranks>();
  const int warp = static_cast<int>(threadIdx.x) / kWarp, panel = panel_of<gated>(work, warp);
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < kSteps<width>; ++stage) {
      init_barrier(&shared.x_full[stage], 1);
      init_barrier(&shared.x_empty[stage], kPanels);
    }
    fence_shared_for_async();
  }
  __syncthreads();
  let_next_kernel_start();
  if (warp >= kPanels) {
    leave_registers<kBlocks<width, ranks> == 1 ? 40 : 32>();
    wait_for_kernel_before();
    bring_x<type, width>(launch, work, shared);
    if (ranks > 1) sync_cluster(), sync_cluster();
  } else {
    take_registers<kBlocks<width, ranks> == 1 ? 232 : 104>();
    bool left = panel < launch.panels;
    const auto next_panel = [&]() -> const uint8_t* {
      if (!left) return nullptr;
      left = false;
      return panel_data<gated>(launch, panel, warp / 4);
    };
    WeightStream<type, decltype(next_panel)> weights(shared.rings[warp], shared.full[warp], kStages<type>,
                                                     range_begin(launch.cols, work.range), range_begin(launch.cols, work.end_range),
                                                     next_panel);
    wait_for_kernel_before();
    Sums<width> sums[kResults<ranks>];
    multiply_ranges<type, width, ranks>(launch, work, shared, weights, panel < launch.panels, sums);
    if constexpr (ranks > 1) {
      auto* all = reinterpret_cast<float(*)[width / 2][kConsumers * kGroupThreads]>(memory);
      static_assert(sizeof *all * kResults<ranks> <= sizeof shared.x + sizeof shared.rings);
      sync_consumers();  // no one reads x or weights any more
#pragma unroll
      for (int i = 0; i < kResults<ranks> * width / 2; ++i) {
        all[i / (width / 2)][i % (width / 2)][threadIdx.x] = sums[i / (width / 2)][i % (width / 2)];
      }
      sync_cluster();
      write_split<width, ranks, gated>(launch, work, all, warp);
      sync_cluster();  // no block leaves while another reads its sums
    } else {
      if (launch.scales.values) scale_sums<width>(launch.scales.values + work.first_token, sums[0]);
      if constexpr (gated) {
        write_products<width>(launch, work, *reinterpret_cast<Products*>(memory), warp, sums[0]);
      } else if (launch.added.x.data) {
        add_whole<width>(launch, work, warp, sums[0]);
      } else {
        write_whole<width>(launch, work, warp, sums[0]);
      }
    }
  }
#else
  __trap();  // without wgmma nothing is to be launched here
#endif
}

template <DType type, int width, int ranks, bool gated>
void launch_kernel(const Launch& launch, int row_tiles, int token_tiles, cudaStream_t stream) {
  const Grid grid{.blocks = ranks == 1 ? dim3(token_tiles, row_tiles) : dim3(row_tiles * ranks, token_tiles),
                  .threads = kThreads,
                  .shared = sizeof(Shared<type, width>),
                  .cluster = ranks};
  cuda::launch("matmul of many tokens", wide_matmul<type, width, ranks, gated>, grid, stream, launch);
}

// As few ranks as give every multiprocessor a block, or two where they fit.
template <DType type, bool gated>
void launch_width(const Launch& launch, cudaStream_t stream) {
  const int width = launch.rows <= 32 ? 32 : launch.rows <= 64 ? 64 : 128, panels_of_block = gated ? kPanels / 2 : kPanels;
  const int row_tiles = (launch.panels + panels_of_block - 1) / panels_of_block, token_tiles = (launch.rows + width - 1) / width;
  const int blocks = row_tiles * token_tiles;
  constexpr int kTwoEach = 190;
  if (width == 32) {
    if (blocks >= kTwoEach) return launch_kernel<type, 32, 1, gated>(launch, row_tiles, token_tiles, stream);
    if (4 * blocks >= kTwoEach) return launch_kernel<type, 32, 4, gated>(launch, row_tiles, token_tiles, stream);
    return launch_kernel<type, 32, 8, gated>(launch, row_tiles, token_tiles, stream);
  }
  if (width == 64) {
    if (blocks >= kTwoEach) return launch_kernel<type, 64, 1, gated>(launch, row_tiles, token_tiles, stream);
    return launch_kernel<type, 64, 8, gated>(launch, row_tiles, token_tiles, stream);
  }
  launch_kernel<type, 128, 8, gated>(launch, row_tiles, token_tiles, stream);
}

}  // namespace

void multiply_wide(DType type, bool gated, const Launch& launch, cudaStream_t stream) {
  if (is_prompt(launch.rows, launch.panels, gated)) return multiply_prompt(type, gated, launch, stream);
  with_packed_type(type, [&](auto constant) {
    if (gated) return launch_width<constant, true>(launch, stream);
    launch_width<constant, false>(launch, stream);
  });
}

}  // namespace kvasir::cuda
