// Gate and up of a prompt's tokens on Hopper's tensor cores, for weights and x of bfloat16:
//
//   y[t][n] = activation(scale[t] sum_k G[n][k] x[t][k] + b[n]) * (scale[t] sum_k U[n][k] x[t][k] + c[n])
//
//   G, U  panels of 16 rows (cuda/packed.cuh)      x [rows, K] bfloat16 in tiles (activations.cuh)      y [rows, N]
//
// As matmul_prompt.cu, but both operands of wgmma m64n128k16 are in shared memory as they lie in global memory: nothing is unpacked. A block has
// tiles of 128 rows (four panels of gate and four of up, in turns) by 128 tokens, one after the other; of its two warpgroups one has the rows
// 0 to 7 of all panels, the other the rows 8 to 15, so that the 8 x 8 matrices of an operand are as far from each other everywhere: a panel. A
// lane then has a row of gate and the same one of up.
//
// A cluster has two tiles of rows by two of tokens. Its blocks share weights and x: each copies half of its own into the two that need it.
//
// Bytes: per 64 k a block has 16 KiB copied from L2, which gives a multiprocessor some 25 bytes a cycle, for 512 cycles of the tensor cores; 160
// bytes a cycle go to and from shared memory, which gives 128. Operations: 4 * rows * N * K. Limited by shared memory, and by clusters of
// four: an H200 holds 31 of them, not 33.
#include "cuda/kernels/formats.cuh"
#include "cuda/kernels/launch.h"
#include "cuda/kernels/matmul_ends.cuh"
#include "cuda/kernels/matmul_tensor.h"

namespace kvasir::cuda {
namespace {

constexpr const char* kName = "gate and up of a prompt in bf16";
constexpr int kTokens = kPromptTokens, kTokenTiles = kTokens / kTileRows;
constexpr int kPairs = kPanels / 2;  // of panels, gate and up
constexpr int kSide = 2, kCluster = kSide * kSide;
constexpr int kTokenGroup = 4;  // tiles of tokens, of a cluster, that are run with all weights before the next: their x stays in L2
constexpr int kStages = 6;      // 64 k each
constexpr int kPanelBytes = chunk_bytes(DType::BF16), kStepBytes = kPanelBytes / 4;
constexpr int kScaleTurns = kStages + 2;  // tiles whose scales are in shared memory: of short ones each stage is another's

struct Shared {
  uint8_t weights[kStages][kPanels][kPanelBytes];
  uint8_t x[kStages][kTokenTiles][kTileBytes];
  uint8_t y[kTokenTiles][kTileBytes];  // of a gated tile
  float scales[kScaleTurns][kTokens];
  uint64_t full[kStages], empty[kStages];
};

// The tiles of a launch, as clusters run them one after the other.
struct Tiles {
  int of_rows, of_tokens, count;  // of_rows, of_tokens: a cluster's

  __host__ __device__ explicit Tiles(const Launch& launch)
      : of_rows((launch.panels - 1) / (kPairs * kSide) + 1),
        of_tokens((launch.rows - 1) / (kTokens * kSide) + 1),
        count(of_rows * of_tokens) {}

  // Where this block works: some tokens with all weights, then the next tokens.
  __device__ Work work(int tile) const {
    const int group = tile / (of_rows * kTokenGroup), in_group = tile % (of_rows * kTokenGroup);
    const int width = min(kTokenGroup, of_tokens - group * kTokenGroup), rank = static_cast<int>(blockIdx.x) % kCluster;
    return {in_group / width * kSide + rank % kSide, ((group * kTokenGroup + in_group % width) * kSide + rank / kSide) * kTokens, rank, 0,
            kRanges};
  }
};

// Tiles of 8 tokens that are there.
__device__ inline int tiles_of_tokens(const Launch& launch, const Work& work) {
  return max(0, min(kTokens, launch.rows - work.first_token + kTileRows - 1)) / kTileRows;
}

// The blocks of a cluster, by rank: those with the same rows, and those with the same tokens, as bits; each has three such mates, itself among them.
constexpr int kMates = 2 * kSide - 1;
__device__ inline uint16_t mates_of_rows(int rank) {
  return static_cast<uint16_t>(0b0101 << rank % kSide);
}
__device__ inline uint16_t mates_of_tokens(int rank) {
  return static_cast<uint16_t>(0b0011 << rank / kSide * kSide);
}

// Stage after stage of both operands, by a warp: a lane has a panel of this block's part, the one after the last has x.
__device__ inline void bring(const Launch& launch, const Tiles& tiles, Shared& shared) {
  constexpr int kOwnPanels = kPanels / kSide, kOwnTokenTiles = kTokenTiles / kSide;
  const int lane = threadIdx.x % kWarp, chunks = chunks_of(launch.cols);
  int stage = 0, parity = 1, turn = 0;
  for (int tile = first_tile<kCluster>(); tile < tiles.count; tile += tiles_apart<kCluster>(), turn = (turn + 1) % kScaleTurns) {
    const Work work = tiles.work(tile);
    const int count = tiles_of_tokens(launch, work);
    const uint32_t scale_bytes = launch.scales.values && count > 0 ? sizeof shared.scales[0] : 0;
    uint8_t* to;  // in the first stage
    const uint8_t* from;
    int64_t step;
    uint32_t bytes = 0;
    uint16_t blocks;
    if (lane < kOwnPanels) {
      const int in_tile = work.rank / kSide * kOwnPanels + lane;  // gate and up in turns
      const int panel = min(work.row_tile * kPairs + in_tile / 2, launch.panels - 1);
      to = shared.weights[0][in_tile], from = panel_data<true>(launch, panel, in_tile % 2);
      step = bytes = kPanelBytes, blocks = mates_of_rows(work.rank);
    } else {
      const int first = work.rank % kSide * kOwnTokenTiles;
      to = shared.x[0][first], from = tile_address(launch.x, work.first_token, 0) + first * kTileBytes;
      step = kBlockTiles * kTileBytes, blocks = mates_of_tokens(work.rank);
      if (lane == kOwnPanels) bytes = max(0, min(kOwnTokenTiles, count - first)) * kTileBytes;
    }
    const uint32_t apart = lane < kOwnPanels ? sizeof shared.weights[0] : sizeof shared.x[0];
    for (int chunk = 0; chunk < chunks; ++chunk, from += step) {
      uint64_t* full = &shared.full[stage];
      wait(&shared.empty[stage], parity);  // at first of a phase that never was
      if (lane == 0) {
        expect_bytes(full, kPanels * kPanelBytes + count * kTileBytes + (chunk == 0 ? scale_bytes : 0));
        if (chunk == 0 && scale_bytes > 0) copy_bulk(shared.scales[turn], launch.scales.values + work.first_token, scale_bytes, full);
      }
      __syncwarp();
      if (bytes > 0) copy_bulk_to_blocks(to + stage * apart, from, bytes, full, blocks);
      if (++stage == kStages) stage = 0, parity ^= 1;
    }
  }
}

// Stages as the consumers go through them.
struct Stages {
  Shared& shared;
  const uint16_t mates;
  const uint64_t weights, x;  // operands of the first stage
  int stage = 0, parity = 0;

  __device__ Stages(Shared& shared, int rank, int group)
      : shared(shared),
        mates(mates_of_rows(rank) | mates_of_tokens(rank)),
        weights(describe_operand(&shared.weights[0][0][group * kCoreBytes], 2 * kCoreBytes, kPanelBytes)),
        x(operand_of_tiles(shared.x[0][0], 0)) {}

  // sums (+)= a chunk's products, begun.
  __device__ void multiply(Sums<kTokens>& sums, bool add) {
    wait(&shared.full[stage], parity);
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      wgmma(__nv_bfloat16(), sums, operand_at(weights, stage * sizeof shared.weights[0] + step * kStepBytes),
            operand_at(x, stage * sizeof shared.x[0] + step * 2 * kCoreBytes), add || step > 0);
    }
    wgmma_commit();
    if (++stage == kStages) stage = 0, parity ^= 1;
  }
  // All products but those of the last `behind` chunks are done.
  __device__ void release(int behind) {
    const int done = (stage + 2 * kStages - 1 - behind) % kStages, lane = threadIdx.x % kWarp;
    if (lane < kCluster && mates >> lane & 1) arrive_in_block(&shared.empty[done], lane);
  }
};

__device__ inline void multiply_tile(int cols, Stages& stages, Sums<kTokens>& totals) {
#pragma unroll
  for (float& total : totals) total = 0;
  Sums<kTokens> sums;
#pragma unroll 1
  for (int range = 0; range < kRanges; ++range) {
    const int begin = range_begin(cols, range), end = range_begin(cols, range + 1);
    if (begin == end) continue;
#pragma unroll 1
    for (int chunk = begin; chunk < end; ++chunk) {
      stages.multiply(sums, chunk > begin);
      wgmma_wait<1>();
      if (chunk > begin) stages.release(1);
    }
    wgmma_wait<0>();
    hold(sums);
    stages.release(0);
#pragma unroll
    for (int i = 0; i < kTokens / 2; ++i) totals[i] += sums[i];
  }
}

// activation(gate) * up, to tiles in shared memory and from there in whole 16 bytes.
__device__ inline void write_gated(const Launch& launch, const Work& work, Shared& shared, const Sums<kTokens>& sums) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x % kGroupThreads / kWarp, group = threadIdx.x / kGroupThreads;
  const int n = (work.row_tile * kPairs + warp) * kPanelRows + group * 8 + lane / 4;  // sums 4 i, 4 i + 1 of gate, the others of up
  const bool present = n < launch.parts[0].weight.rows;
  const float gate_bias = present ? bias_of(launch.parts[0], n) : 0.0f, up_bias = present ? bias_of(launch.parts[1], n) : 0.0f;
  const View& y = launch.parts[0].y;
  auto* tile = reinterpret_cast<__nv_bfloat16*>(shared.y) + place_in_tiles(kTileCols, token_of_sum(0) + lane / 4 % 2, n % kTileCols & ~1);
  sync_consumers();  // no one reads what was here before
#pragma unroll
  for (int i = 0; i < kTokens / 2; i += 4) {
    float products[2];
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      products[k] = present ? activate_fast(launch.activation, sums[i + k] + gate_bias) * (sums[i + 2 + k] + up_bias) : 0.0f;
    }
    if (y.type == DType::BF16) {
      store_products(tile + i / 4 * (kTileBytes / 2), products[0], products[1]);
    } else {
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        const int token = work.first_token + token_of_sum(i + k);
        if (present && token < launch.rows) store(y, token, n, products[k]);
      }
    }
  }
  if (y.type != DType::BF16) return;
  sync_consumers();
  if (work.row_tile * kPairs >= launch.panels) return;  // so of a cluster's last blocks
  auto* to = reinterpret_cast<uint4*>(tile_address(y, work.first_token, work.row_tile));
  for (int i = threadIdx.x; i < tiles_of_tokens(launch, work) * (kTileBytes / 16); i += kConsumers * kGroupThreads) {
    to[i] = reinterpret_cast<const uint4*>(shared.y)[i];
  }
}

__global__ void __launch_bounds__(kPromptThreads, 1) prompt_gate_bf16(const __grid_constant__ Launch launch) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) uint8_t memory[];
  auto& shared = *reinterpret_cast<Shared*>(memory);
  const Tiles tiles(launch);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  init_stages(shared.full, shared.empty, kPanels * kMates);
  sync_cluster();
  wait_in_turn();
  if (warp >= kPanels) {
    leave_registers<40>();
    if (warp == kPanels) bring(launch, tiles, shared);
  } else {
    take_registers<232>();
    Stages stages(shared, static_cast<int>(blockIdx.x) % kCluster, warp / 4);
    int turn = 0;
    for (int tile = first_tile<kCluster>(); tile < tiles.count; tile += tiles_apart<kCluster>(), turn = (turn + 1) % kScaleTurns) {
      Sums<kTokens> totals;
      multiply_tile(launch.cols, stages, totals);
      if (launch.scales.values) scale_sums<kTokens>(shared.scales[turn], totals);
      write_gated(launch, tiles.work(tile), shared, totals);
    }
  }
  sync_cluster();  // no block leaves while another copies into it or arrives there
#else
  __trap();  // without wgmma nothing is to be launched here
#endif
}

Grid grid_of_cluster() {
  return {.blocks = {}, .threads = kPromptThreads, .shared = sizeof(Shared), .cluster = kCluster};
}

// Clusters that run at once.
int most_clusters() {
  static OfDevice resident;
  return resident.get([] { return resident_clusters(kName, prompt_gate_bf16, grid_of_cluster()); });
}

}  // namespace

bool gains_by_clusters(const Launch& launch) {
  const int rounds = (Tiles(launch).count - 1) / most_clusters() + 1;
  const int tiles = ((launch.panels - 1) / kPairs + 1) * ((launch.rows - 1) / kTokens + 1), others = (tiles - 1) / processors() + 1;
  return 20 * rounds < 23 * others;  // measured: a round takes 20 / 23 of the other kernel's
}

void multiply_prompt_gate_bf16(const Launch& launch, cudaStream_t stream) {
  Grid grid = grid_of_cluster();
  grid.blocks = dim3(std::min(most_clusters(), Tiles(launch).count) * kCluster);
  cuda::launch(kName, prompt_gate_bf16, grid, stream, launch);
}

}  // namespace kvasir::cuda
