// matmul of a prompt's tokens on Hopper's tensor cores, as matmul_prompt.cu, for weights of bfloat16, or unpacked to it
// (unpack_panels.cu): both operands of wgmma m64nNk16 are in shared memory as they lie in global memory.
//
// A block has tiles of 128 rows (of gate and up 64 each) by 192 tokens, one after the other; of its two warpgroups one has the rows 0 to 7
// of all panels, the other the rows 8 to 15, so that the 8 x 8 matrices of an operand are as far from each other everywhere: a panel. Of a
// third warpgroup four warps copy (of gate and up three; the fourth sends y); registers are shared out among warpgroups. A cluster has two
// tiles of rows by two of tokens, whose blocks share x and weights: each copies half of its own into the two that need it. Where no four
// multiprocessors of a group are left, pairs of them share x alone: a kernel of its own, beside.
//
// Bytes: per 64 k a tile has 40 KiB written to and 64 KiB read from shared memory for 768 cycles of the tensor cores: 138 bytes a cycle,
// where 128 are to be had (of 128 tokens 160). L2 gives a multiprocessor 25 to 30 bytes a cycle: 20 KiB in 768 cycles are just not too
// many, the 28 of pairs are, where all were pairs. An end reads and writes 2 to 10 bytes a number. Operations: 2 * rows * N * K, 4 of gate
// and up. Limited by copies (without them 942 Tflop/s on an H200, with them 770, ends and sums of ranges left out), by ends and sums of
// ranges (740 with both), and by the card's power: variants by hand, bench/gpu/NOTES.md.
#include "cuda/kernels/launch.h"
#include "cuda/kernels/matmul_prompt_copies.cuh"
#include "cuda/kernels/matmul_tensor.h"

namespace kvasir::cuda {
namespace {

constexpr const char* kName = "matmul of a prompt in bf16";
constexpr int kThreads = (kConsumers + 1) * kGroupThreads;
static_assert(kPanels == kPromptPanels);

// Stages as the consumers go through them.
template <class Tiles, class Memory>
struct Stages {
  Memory& shared;
  const uint16_t mates;
  const uint64_t weights, x;  // operands of the first stage
  int stage = 0, parity = 0;

  __device__ Stages(Memory& shared, int rank, int group)
      : shared(shared),
        mates(Tiles::mates_of_rows(rank) | Tiles::mates_of_tokens(rank)),
        weights(describe_operand(&shared.weights[0][0][group * kCoreBytes], 2 * kCoreBytes, kPanelBytes)),
        x(operand_of_tiles(shared.x[0][0], 0)) {}

  // sums (+)= a chunk's products, begun.
  __device__ void multiply(Sums<kQuadWidth>& sums, bool add) {
    wait(&shared.full[stage], parity);
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      wgmma(__nv_bfloat16(), sums, operand_at(weights, stage * sizeof shared.weights[0] + step * (kPanelBytes / 4)),
            operand_at(x, stage * sizeof shared.x[0] + step * 2 * kCoreBytes), add || step > 0);
    }
    wgmma_commit();
    if (++stage == kPlaces) stage = 0, parity ^= 1;
  }
  // All products but those of the last `behind` chunks are done.
  __device__ void release(int behind) {
    int done = stage - 1 - behind;
    if (done < 0) done += kPlaces;
    const int lane = threadIdx.x % kWarp;
    if (lane < Tiles::kCluster && mates >> lane & 1) arrive_in_block(&shared.empty[done], lane);
  }
};

template <class Stages>
__device__ inline void multiply_tile(int cols, Stages& stages, Sums<kQuadWidth>& totals) {
#pragma unroll
  for (float& total : totals) total = 0;
  Sums<kQuadWidth> sums = {};  // though no product reads them: what nothing defines has registers everywhere, at the tile's end, too
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
    for (int i = 0; i < kQuadWidth / 2; ++i) totals[i] += sums[i];
  }
}

// All tiles of this block, by a consumer's warp.
template <int token_tiles, bool gated>
__device__ inline void multiply(const Launch& launch, const Tiles<token_tiles>& tiles, QuadMemory<gated>& shared, int warp) {
  const int group = warp / 4;
  Stages<Tiles<token_tiles>, QuadMemory<gated>> stages(shared, static_cast<int>(blockIdx.x) % tiles.kCluster, group);
  int turn = 0, parity = 1;
  for (int tile = tiles.first(); tile < tiles.count; tile += tiles.apart(), turn = (turn + 1) % kScaleTurns, parity ^= 1) {
    Sums<kQuadWidth> totals;
    multiply_tile(launch.cols, stages, totals);
    const float* scales = launch.scales.values ? shared.scales[turn] : nullptr;
    if constexpr (gated) {
      const int thread = thread_at_end(), lane = thread % kWarp;
      const bool staged = sends(launch);
      if (staged) wait(&shared.staged.sent, parity);  // at first of a phase that never was
      PairedGateEnd<kQuadWidth>(launch, tiles.work(tile), thread / kWarp % 4 * kPanelRows + group * 8, lane)
          .put(totals, scales, shared.staged);
      fence_shared_for_async();
      __syncwarp();
      if (staged && lane == 0) arrive(&shared.staged.written);
    } else {
      const int row = warp % 4 * (2 * kPanelRows) + group * 8 + static_cast<int>(threadIdx.x) % kWarp / 4;
      end_tile<ColumnsEnd<kQuadWidth, true>, kQuadWidth>(launch, tiles.work(tile), row, kPanelRows, shared.staged, totals, scales);
    }
  }
}

template <int token_tiles, bool gated>
__global__ void __launch_bounds__(kThreads, 1)
    prompt_matmul_bf16(const __grid_constant__ Launch launch, const __grid_constant__ Share share) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) uint8_t memory[];
  auto& shared = *reinterpret_cast<QuadMemory<gated>*>(memory);
  const Tiles<token_tiles> tiles(share);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  if constexpr (gated) shared.staged.init();
  init_stages(shared.full, shared.empty, kPanels * tiles.kMates);
  sync_cluster();
  // The pairs' kernel begins when this one's blocks have waited, so that it need not; what it reads comes from L2.
  if (token_tiles == kSide) wait_for_kernel_before();
  let_next_kernel_start();
  if (warp >= kPanels) {
    leave_registers<56>();
    if (warp < kPanels + kCopyingWarps<gated>) {
      bring<token_tiles, gated>(launch, tiles, shared, warp - kPanels);
    } else if constexpr (gated) {
      send(launch, tiles, shared.staged);
    }
  } else {
    take_registers<224>();
    multiply<token_tiles, gated>(launch, tiles, shared, warp);
  }
  sync_cluster();  // no block leaves while another copies into it or arrives there
  // What comes after the pairs' kernel waits for that one alone: it ends after the one beside it.
  if (token_tiles < kSide) wait_for_kernel_before();
#else
  __trap();  // without wgmma nothing is to be launched here
#endif
}

template <bool gated>
Grid grid_of(int token_tiles, int clusters) {
  const int cluster = kSide * token_tiles;
  return {.blocks = dim3(clusters * cluster), .threads = kThreads, .shared = sizeof(QuadMemory<gated>), .cluster = cluster};
}

// How a launch is shared out: quads to clusters of four, and the last of them, by halves, to pairs where no four multiprocessors are
// neighbours, so that rounds of tiles are as few as can be.
struct Plan {
  const Quads quads;
  const int clusters = prompt_clusters_bf16(), pairs = std::max(0, processors() / kSide - clusters * kSide);
  int rounds, first;  // first: of the pairs' quads

  Plan(bool gated, const Launch& launch) : quads(launch, gated) {
    for (rounds = 1;; ++rounds) {
      first = std::min(quads.count, rounds * clusters);
      if (quads.halves_from(first) <= rounds * pairs) break;
    }
  }

  static bool can_run(const Launch& launch) { return chunks_of(launch.cols) >= kPlaces; }

  // Whether this takes less time than matmul_prompt.cu.
  bool is_faster(DType type, bool gated, const Launch& launch) const {
    // Microseconds, measured on an H200: of a round of tiles for 4,096 k, here and there, of weights in bfloat16 and of others, and to
    // unpack a weight.
    constexpr double kRound = 35, kOtherRound = 31, kOtherPackedRound = 28, kUnpack = 0.9e-6;
    const bool unpacks = type != DType::BF16;
    const int others = (prompt_tiles(launch.rows, launch.panels, gated) - 1) / processors() + 1;
    const double k = launch.cols / 4096.0, weights = double(launch.panels) * kPanelRows * launch.cols * (gated ? 2 : 1);
    return rounds * kRound * k + (unpacks ? weights * kUnpack : 0) < others * (unpacks ? kOtherPackedRound : kOtherRound) * k;
  }

  template <bool gated>
  void run(const Launch& launch, cudaStream_t stream) const {
    const int halves = quads.halves_from(first);
    const Grid fours = grid_of<gated>(kSide, std::min(clusters, first)), twos = grid_of<gated>(1, std::min(pairs, halves));
    cuda::launch(kName, prompt_matmul_bf16<kSide, gated>, fours, stream, launch, Share{quads, 0, first});
    if (halves > 0) cuda::launch(kName, prompt_matmul_bf16<1, gated>, twos, stream, launch, Share{quads, first, halves});
  }
};

}  // namespace

int prompt_clusters_bf16() {
  static OfDevice resident;  // where gated a block has more shared memory
  return resident.get([] { return resident_clusters(kName, prompt_matmul_bf16<kSide, true>, grid_of<true>(kSide, 1)); });
}

bool multiply_prompt_bf16(DType type, bool gated, Launch launch, cudaStream_t stream) {
  if (!Plan::can_run(launch)) return false;
  const Plan plan(gated, launch);
  if (!plan.is_faster(type, gated, launch)) return false;
  if (type != DType::BF16 && !unpack_panels(type, gated, launch, stream)) return false;
  gated ? plan.run<true>(launch, stream) : plan.run<false>(launch, stream);
  return true;
}

}  // namespace kvasir::cuda
