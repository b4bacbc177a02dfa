// matmul of a prompt's tokens on Hopper's tensor cores, for packed weights and bfloat16 x: y[t][n] = sum_k W[n][k] x[t][k] + bias[n]
//
//   W     panels of 16 rows (cuda/packed.cuh)      x [rows, K] bfloat16 in tiles (activations.cuh)      y [rows, N]
//
// As matmul_wide.cu, for so many tokens that every multiprocessor has tiles of 128 rows by 128 tokens to itself: blocks stay and go from tile to
// tile. Two warpgroups multiply, a third one has x and weights copied. A cluster's blocks have the same tokens and rows of their own; each copies
// its part of x into all of them. k goes by groups of 256, in two pairs of chunks: while one is multiplied (2 x 512 cycles of the tensor cores
// for both warpgroups), the other is unpacked. A tile's sums are written while the first group of the next one is multiplied, by each warpgroup
// for itself: nothing but the stages of x makes one wait for the other.
//
// Bytes: per 128 k a block reads 16 chunks of weights and 32 KiB / kSharing of x for 4.2 million operations: of bf16 48 bytes of L2 and 160 of
// shared memory (which gives 128) a cycle if the tensor cores never waited. Quantized weights take some 130 to 150 instructions of a warp a chunk.
#include "cuda/kernels/formats.cuh"
#include "cuda/kernels/launch.h"
#include "cuda/kernels/matmul_prompt_stages.cuh"

namespace kvasir::cuda {
namespace {

using namespace prompt;

// A warp's operands A, a pair of chunks after the other; zeros where there is no chunk.
template <DType type>
struct Operands {
  Shared<type>& shared;
  const int chunks;
  Stage<kPieces<type>> stage{0, 0};

  // The pair of a group that begins with its chunk `first`.
  __device__ __forceinline__ void take(int group, int first, Chunk (&a)[kPair]) {
#pragma unroll
    for (int i = 0; i < kPair; ++i) {
      const int chunk = group * kGroupChunks + first + i;
      if (chunk < chunks) {
        take_chunk(chunk, (first + i) % kPiece<type>, a[i]);
      } else {
        for (int j = 0; j < 16; ++j) a[i][j / 4][j % 4] = 0;
      }
    }
  }

 private:
  __device__ __forceinline__ void take_chunk(int chunk, int in_piece, Chunk& a) {
    const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = threadIdx.x % kWarp, own = warp / kGroupPanels;
    if (in_piece == 0) wait(&shared.weights_full[own][stage.at], stage.parity);
    Raw<type> raw;
    load_chunk(shared.weights[own][stage.at][warp % kGroupPanels], in_piece, lane, raw);
    if (in_piece + 1 == kPiece<type> || chunk + 1 == chunks) {
      __syncwarp();
      if (lane == 0) arrive(&shared.weights_empty[own][stage.at]);
      stage.next();
    }
    unpack<type>(raw, 0, a[0], a[1]);
    unpack<type>(raw, 1, a[2], a[3]);
  }
};

// Stages of x as the consumers go through them.
template <DType type>
struct Pairs {
  Shared<type>& shared;
  Stage<kPairs<type>> stage{0, 0};

  // sums (+)= a x, begun; then the stage is that of the next pair.
  __device__ void multiply(const Chunk (&a)[kPair], Sums<kWidth>& sums, bool add) {
    wait(&shared.x_full[stage.at], stage.parity);
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < 4 * kPair; ++step) {
      wgmma(__nv_bfloat16(), sums, a[step / 4][step % 4], operand_of_tiles(shared.x[stage.at][step / 4][0], step % 4), add || step > 0);
    }
    wgmma_commit();
    stage.next();
  }
  // All products with the pair before the last `behind` are done.
  __device__ void release(int behind) {
    int done = stage.at - 1 - behind;
    if (done < 0) done += kPairs<type>;
    const int lane = threadIdx.x % kWarp;
    if (lane < kSharing) arrive_in_block(&shared.x_empty[done], lane);
  }
};

// The products of this warp's panels with all tiles of tokens. A group of k is two pairs: while the tensor cores multiply one, the other is
// unpacked. `end(tile, totals, half)` writes what a tile has of half the tokens, each half while a pair of the next tile's first group is multiplied.
template <DType type, class End>
__device__ inline void multiply_tiles(const Launch& launch, const Tiles& tiles, Shared<type>& shared, const End& end) {
  Operands<type> operands{shared, chunks_of(launch.cols)};
  Pairs<type> x{shared};
  Chunk first[kPair], second[kPair];
  Sums<kWidth> sums, totals;
  const int groups = groups_of(launch.cols);
  int tile = first_tile();
  // A group, of which `first` has the first pair; then it has the next group's, and the second pair's products are under way, as they are
  // before it where this group follows. `meanwhile(half)` runs while each pair is multiplied.
  const auto multiply_group = [&](int group, bool add, bool follows, const auto& meanwhile) {
    x.multiply(first, sums, add);
    wgmma_wait<1>();
    hold(second[0]), hold(second[1]);
    if (follows) x.release(1);
    meanwhile(0);
    operands.take(group, kPair, second);
    x.multiply(second, sums, true);
    wgmma_wait<1>();
    hold(first[0]), hold(first[1]);
    x.release(1);
    meanwhile(1);
    const bool last = group + 1 == groups;
    if (!last || tile + tiles_apart() < tiles.count) operands.take(last ? 0 : group + 1, 0, first);
  };
  operands.take(0, 0, first);
  for (; tile < tiles.count; tile += tiles_apart()) {
    const bool has_before = tile != first_tile();
    multiply_group(0, false, false, [&](int half) {
      if (has_before) end(tile - tiles_apart(), totals, half);
    });
    const auto finish = [&] {
      wgmma_wait<0>();
      hold(sums), hold(second[0]), hold(second[1]);
      x.release(0);
    };
    finish();
#pragma unroll
    for (float& total : totals) total = 0;
#pragma unroll 1
    for (int range = 0; range < kRanges; ++range) {
      const int begin = groups * range / kRanges, range_end = groups * (range + 1) / kRanges, from = max(begin, 1);
      if (begin == range_end) continue;
      if (from < range_end) {
#pragma unroll 1
        for (int group = from; group < range_end; ++group) multiply_group(group, group > begin, group > from, [](int) {});
        finish();
      }
#pragma unroll
      for (int i = 0; i < kWidth / 2; ++i) totals[i] += sums[i];
    }
  }
  end(tile - tiles_apart(), totals, 0);
  end(tile - tiles_apart(), totals, 1);
}

template <DType type, bool gated>
__global__ void __launch_bounds__(kThreads, 1) prompt_matmul(const __grid_constant__ Launch launch) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) uint8_t memory[];
  auto& shared = *reinterpret_cast<Shared<type>*>(memory);
  const Tiles tiles(launch, gated);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < kPairs<type>; ++stage) {
      init_barrier(&shared.x_full[stage], 1);
      init_barrier(&shared.x_empty[stage], kPanels * kSharing);
    }
    for (int i = 0; i < kConsumers * kPieces<type>; ++i) {
      init_barrier(&shared.weights_full[0][0] + i, kGroupPanels);
      init_barrier(&shared.weights_empty[0][0] + i, kGroupPanels);
    }
    fence_shared_for_async();
  }
  sync_cluster();
  let_next_kernel_start();
  if (warp >= kPanels) {
    leave_registers<40>();
    const int role = warp - kPanels, lane = threadIdx.x % kWarp;  // the first warp brings x, two bring weights, which no kernel writes
    if ((role == 1 || role == 2) && lane < kGroupPanels) {
      bring_weights<type, gated>(launch, tiles, shared, (role - 1) * kGroupPanels + lane);
    }
    wait_for_kernel_before();
    if (role == 0 && lane == 0) bring_x<type>(launch, tiles, shared);
  } else {
    take_registers<232>();
    wait_for_kernel_before();
    multiply_tiles<type>(launch, tiles, shared, [&](int tile, const Sums<kWidth>& totals, int half) {
      const Work work = work_of(tiles, uniform(tile));  // found anew each time: there are no registers to keep it in
      const int begin = half * (kWidth / 2), end = begin + kWidth / 2;
      if constexpr (gated) write_products<kWidth>(launch, work, shared.products, warp, totals, begin, end);
      if constexpr (!gated) write_whole<kWidth>(launch, work, warp, totals, begin, end);
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
  static_assert(sizeof(Shared<type>) <= 227 << 10);
  Grid grid{.blocks = {}, .threads = kThreads, .shared = sizeof(Shared<type>), .cluster = kSharing};
  static OfDevice resident;
  const int clusters = resident.get([&] { return resident_clusters(kName, prompt_matmul<type, gated>, grid); });
  grid.blocks = dim3(std::min(clusters, Tiles(launch, gated).count) * kSharing);
  cuda::launch(kName, prompt_matmul<type, gated>, grid, stream, launch);
}

}  // namespace

void multiply_prompt(DType type, bool gated, const Launch& launch, cudaStream_t stream) {
  with_packed_type(type, [&](auto constant) {
    if (gated) return launch_kernel<constant, true>(launch, stream);
    launch_kernel<constant, false>(launch, stream);
  });
}

}  // namespace kvasir::cuda
