// matmul of a prompt's tokens on Hopper's tensor cores, as matmul_prompt.cu, for weights of bfloat16: both operands of wgmma m64nNk16 are
// in shared memory as they lie in global memory, and nothing is unpacked.
//
// A block has tiles of 128 rows (of gate and up 64 each) by 192 tokens, one after the other; of its two warpgroups one has the rows 0 to 7
// of all panels, the other the rows 8 to 15, so that the 8 x 8 matrices of an operand are as far from each other everywhere: a panel. Of a
// third warpgroup one warp copies; registers are shared out among warpgroups. A cluster has two tiles of rows by two of tokens, whose
// blocks share x and weights: each copies half of its own into the two that need it.
//
// Bytes: per 64 k a tile has 40 KiB written to and 64 KiB read from shared memory for 768 cycles of the tensor cores: 138 bytes a cycle,
// where 128 are to be had (of 128 tokens 160). L2 gives a multiprocessor 25 to 30 bytes a cycle: 28 KiB in 768 cycles, of clusters of two,
// would be too many, 20 are just not. An end reads and writes 2 to 10 bytes a number. Operations: 2 * rows * N * K, 4 of gate and up.
// Limited by the warp that copies, seven copies one after the other each 64 k, by ends, an eighth of the time, by the card's power (it runs
// at 1.5 to 1.75 GHz), and by clusters of four: some 31 of them fit on an H200, not 33.
#include "cuda/kernels/launch.h"
#include "cuda/kernels/matmul_prompt_ends.cuh"
#include "cuda/kernels/matmul_prompt_gate.cuh"
#include "cuda/kernels/matmul_tensor.h"

namespace kvasir::cuda {
namespace {

constexpr const char* kName = "matmul of a prompt in bf16";
constexpr int kThreads = (kConsumers + 1) * kGroupThreads;
// Of the third warpgroup; where gated the fourth sends y.
template <bool gated>
inline constexpr int kCopyingWarps = gated ? 3 : 4;
constexpr int kWidth = 192;     // tokens of a tile
constexpr int kSide = 2;        // tiles of a side of a square
constexpr int kTokenGroup = 4;  // tiles of tokens, of a cluster, that are run with all weights before the next: their x stays in L2
constexpr int kStages = 5;      // 64 k each
constexpr int kPanelBytes = chunk_bytes(DType::BF16), kStepBytes = kPanelBytes / 4;
constexpr int kFewestUnpacked = 512;  // tokens
// Tiles whose scales are in shared memory, in turns: a tile has at least as many chunks as there are stages, so that the one after the next
// comes when all warps have begun the next one.
constexpr int kScaleTurns = 2;
static_assert(kPanels == kPromptPanels);

template <bool gated>
struct Shared {
  uint8_t weights[kStages][kPanels][kPanelBytes];
  uint8_t x[kStages][kWidth / kTileRows][kTileBytes];
  std::conditional_t<gated, StagedY<kWidth>, StagedSums> staged;
  float scales[kScaleTurns][kWidth];
  uint64_t full[kStages], empty[kStages];
};

// A launch's squares of two tiles of rows by two of tokens. A tile has kPanels panels, of gate and up half as many of each. Where tiles of
// tokens are odd, the last squares have no second one.
struct Squares {
  int of_rows, of_tokens, whole, count;  // of_tokens: of whole ones

  Squares(const Launch& launch, bool gated)
      : of_rows((launch.panels - 1) / ((gated ? kPanels / 2 : kPanels) * kSide) + 1),
        of_tokens(tiles_of(launch) / kSide),
        whole(of_rows * of_tokens),
        count(whole + of_rows * (tiles_of(launch) % kSide)) {}

  // The halves, one tile of tokens each, of this square and all after it.
  int halves_from(int square) const { return count - square + (square < whole ? whole - square : 0); }

 private:
  static int tiles_of(const Launch& launch) { return (launch.rows - 1) / kWidth + 1; }
};

// Those of a kernel: so many from one on, or halves of them.
struct Share {
  Squares squares;
  int begin, count;
};

// A kernel's tiles, as its clusters run them one after the other: squares, or where `side` is 1 halves of them.
template <int side>
struct Tiles {
  static constexpr int kCluster = kSide * side;
  static constexpr int kMates = kSide + side - 1;  // blocks that copy into a block's stages, itself among them

  const Share& share;
  const int count;

  __device__ explicit Tiles(const Share& share) : share(share), count(share.count) {}

  // Blocks stay: the first tile of this one's cluster, and from each to its next one.
  __device__ int first() const { return blockIdx.x / kCluster; }
  __device__ int apart() const { return gridDim.x / kCluster; }

  // Where this block works.
  __device__ Work work(int tile) const {
    const int rank = static_cast<int>(blockIdx.x) % kCluster;
    if (side == kSide) return work_of(share.begin + tile, rank / kSide, rank);
    const int halves = max(0, share.squares.whole - share.begin) * kSide;  // of whole squares
    if (tile < halves) return work_of(share.begin + tile / kSide, tile % kSide, rank);
    return work_of(max(share.squares.whole, share.begin) + tile - halves, 0, rank);
  }

  // The blocks of a cluster, by rank, as bits: those with the same tokens, and those with the same rows.
  static __device__ uint16_t mates_of_tokens(int rank) { return static_cast<uint16_t>(0b0011 << rank / kSide * kSide); }
  static __device__ uint16_t mates_of_rows(int rank) { return static_cast<uint16_t>((side == kSide ? 0b0101 : 0b0001) << rank % kSide); }

 private:
  // Some tokens with all weights, then the next tokens.
  __device__ Work work_of(int square, int half, int rank) const {
    const Squares& squares = share.squares;
    int row = square - squares.whole, tokens = squares.of_tokens;
    if (row < 0) {
      const int group = square / (squares.of_rows * kTokenGroup), in_group = square % (squares.of_rows * kTokenGroup);
      const int of_group = min(kTokenGroup, squares.of_tokens - group * kTokenGroup);
      row = in_group / of_group, tokens = group * kTokenGroup + in_group % of_group;
    }
    return {row * kSide + rank % kSide, (tokens * kSide + half) * kWidth, rank, 0, kRanges};
  }
};

// Stage after stage of what is copied, by several warps: a warp's copies wait for each other, some 100 cycles each, so that each has two or
// three, by lanes of their own, of 64 tokens of x or of a panel, into all blocks that need it. One more lane says how much comes, and has a
// tile's scales copied with its first stage.
template <int side, bool gated>
class Copies {
 public:
  __device__ Copies(const Launch& launch, Shared<gated>& shared, int warp)
      : launch_(launch), shared_(shared), number_(lane_of_warp() < kLanes ? warp + lane_of_warp() * kCopyingWarps<gated> : kCount + 1) {}

  __device__ void begin_tile(const Work& work) {
    tokens_ = max(0, min(kWidth, launch_.rows - work.first_token));
    bytes_ = 0;
    if (number_ < kParts) {
      const int first = number_ * kPartTiles + work.rank % kSide * kOwnTiles;  // of the tile's tiles of tokens
      to_ = shared_.x[0][first], from_ = tile_address(launch_.x, work.first_token + first * kTileRows, 0);
      bytes_ = max(0, min(kOwnTiles, tiles_of(tokens_) - first)) * kTileBytes, blocks_ = Tiles<side>::mates_of_tokens(work.rank);
    } else if (number_ < kCount) {
      const int in_tile = work.rank / kSide * kCopiedPanels + number_ - kParts;
      to_ = shared_.weights[0][in_tile], from_ = packed_panel_of<gated>(launch_, work, number_of(in_tile));
      bytes_ = kPanelBytes, blocks_ = Tiles<side>::mates_of_rows(work.rank);
    }
  }

  // A chunk of the tile to a stage.
  __device__ void copy(const Work& work, int chunk, int stage, int turn) {
    uint64_t* full = &shared_.full[stage];
    if (number_ == kCount) {
      const uint32_t scales = chunk == 0 && launch_.scales.values ? (tokens_ + 3) / 4 * 16 : 0;
      expect_bytes(full, tiles_of(tokens_) * kTileBytes + kPanels * kPanelBytes + scales);
      if (scales > 0) copy_bulk(shared_.scales[turn], launch_.scales.values + work.first_token, scales, full);
    } else if (bytes_ > 0) {
      copy_bulk_to_blocks(to_ + stage * (is_x() ? sizeof shared_.x[0] : sizeof shared_.weights[0]), from_, bytes_, full, blocks_);
      from_ += is_x() ? kBlockTiles * kTileBytes : kPanelBytes;
    }
  }

 private:
  // 64 tokens of x are one piece of memory wherever they begin.
  static constexpr int kPartTiles = 64 / kTileRows, kParts = kWidth / 64, kOwnTiles = kPartTiles / kSide;
  static constexpr int kCopiedPanels = kPanels / side, kCount = kParts + kCopiedPanels, kLanes = kCount / kCopyingWarps<gated> + 1;

  // Panels of gate and up are by turns in the operand: a warp has rows of both.
  static __device__ int number_of(int in_tile) { return gated ? in_tile % 2 * (kPanels / 2) + in_tile / 2 : in_tile; }
  static __device__ int lane_of_warp() { return threadIdx.x % kWarp; }
  static __device__ int tiles_of(int tokens) { return (tokens + kTileRows - 1) / kTileRows; }
  __device__ bool is_x() const { return number_ < kParts; }

  const Launch& launch_;
  Shared<gated>& shared_;
  const int number_;  // of the copy; kCount: none, but says how much comes
  int tokens_ = 0;
  uint8_t* to_ = nullptr;  // in the first stage
  const uint8_t* from_ = nullptr;
  uint32_t bytes_ = 0;
  uint16_t blocks_ = 0;
};

// All stages of all tiles of this block, by a warp of those that copy.
template <int side, bool gated>
__device__ inline void bring(const Launch& launch, const Tiles<side>& tiles, Shared<gated>& shared, int warp) {
  const int chunks = chunks_of(launch.cols);
  Copies<side, gated> copies(launch, shared, warp);
  int stage = 0, parity = 1, turn = 0;
  for (int tile = tiles.first(); tile < tiles.count; tile += tiles.apart(), turn = (turn + 1) % kScaleTurns) {
    const Work work = tiles.work(tile);
    copies.begin_tile(work);
#pragma unroll 1
    for (int chunk = 0; chunk < chunks; ++chunk) {
      wait(&shared.empty[stage], parity);  // at first of a phase that never was
      copies.copy(work, chunk, stage, turn);
      __syncwarp();
      if (!gated && warp == 0) bring_residual<kWidth>(launch, work, chunk);
      if (++stage == kStages) stage = 0, parity ^= 1;
    }
  }
}

// y of all tiles of this block, by a warp, from where the consumers have put it.
template <int side>
__device__ inline void send(const Launch& launch, const Tiles<side>& tiles, StagedY<kWidth>& staged) {
  const View& y = launch.parts[0].y;
  if (y.type != DType::BF16) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  int parity = 0;
  for (int tile = tiles.first(); tile < tiles.count; tile += tiles.apart(), parity ^= 1) {
    const Work work = tiles.work(tile);
    const int token = work.first_token + lane * kTileRows;
    wait(&staged.written, parity);
    const bool has = lane < kWidth / kTileRows && token < launch.rows && work.row_tile * (kPanels / 2) < launch.panels;
    if (has) copy_bulk_out(tile_address(y, token, work.row_tile), staged.tiles[lane], kTileBytes);
    wait_for_copies_out(true);
    __syncwarp();
    if (lane == 0) arrive(&staged.sent);
  }
  wait_for_copies_out(false);
}

// Stages as the consumers go through them.
template <class Tiles, class Shared>
struct Stages {
  Shared& shared;
  const uint16_t mates;
  const uint64_t weights, x;  // operands of the first stage
  int stage = 0, parity = 0;

  __device__ Stages(Shared& shared, int rank, int group)
      : shared(shared),
        mates(Tiles::mates_of_rows(rank) | Tiles::mates_of_tokens(rank)),
        weights(describe_operand(&shared.weights[0][0][group * kCoreBytes], 2 * kCoreBytes, kPanelBytes)),
        x(operand_of_tiles(shared.x[0][0], 0)) {}

  // sums (+)= a chunk's products, begun.
  __device__ void multiply(Sums<kWidth>& sums, bool add) {
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
    int done = stage - 1 - behind;
    if (done < 0) done += kStages;
    const int lane = threadIdx.x % kWarp;
    if (lane < Tiles::kCluster && mates >> lane & 1) arrive_in_block(&shared.empty[done], lane);
  }
};

template <class Stages>
__device__ inline void multiply_tile(int cols, Stages& stages, Sums<kWidth>& totals) {
#pragma unroll
  for (float& total : totals) total = 0;
  Sums<kWidth> sums = {};  // though no product reads them: what nothing defines has registers everywhere, at the tile's end, too
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
    for (int i = 0; i < kWidth / 2; ++i) totals[i] += sums[i];
  }
}

// All tiles of this block, by a consumer's warp.
template <int side, bool gated>
__device__ inline void multiply(const Launch& launch, const Tiles<side>& tiles, Shared<gated>& shared, int warp) {
  const int group = warp / 4;
  Stages<Tiles<side>, Shared<gated>> stages(shared, static_cast<int>(blockIdx.x) % tiles.kCluster, group);
  int turn = 0, parity = 1;
  for (int tile = tiles.first(); tile < tiles.count; tile += tiles.apart(), turn = (turn + 1) % kScaleTurns, parity ^= 1) {
    Sums<kWidth> totals;
    multiply_tile(launch.cols, stages, totals);
    const float* scales = launch.scales.values ? shared.scales[turn] : nullptr;
    if constexpr (gated) {
      const int thread = thread_at_end(), lane = thread % kWarp;
      const bool sends = launch.parts[0].y.type == DType::BF16;
      if (sends) wait(&shared.staged.sent, parity);  // at first of a phase that never was
      GateEnd<kWidth>(launch, tiles.work(tile), thread / kWarp % 4 * kPanelRows + group * 8, lane).put(totals, scales, shared.staged);
      fence_shared_for_async();
      __syncwarp();
      if (sends && lane == 0) arrive(&shared.staged.written);
    } else {
      const int row = warp % 4 * (2 * kPanelRows) + group * 8 + static_cast<int>(threadIdx.x) % kWarp / 4;
      end_tile<ColumnsEnd<kWidth, true>, kWidth>(launch, tiles.work(tile), row, kPanelRows, shared.staged, totals, scales);
    }
  }
}

template <int side, bool gated>
__global__ void __launch_bounds__(kThreads, 1)
    prompt_matmul_bf16(const __grid_constant__ Launch launch, const __grid_constant__ Share share) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) uint8_t memory[];
  auto& shared = *reinterpret_cast<Shared<gated>*>(memory);
  const Tiles<side> tiles(share);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  if constexpr (gated) shared.staged.init();
  init_stages(shared.full, shared.empty, kPanels * tiles.kMates);
  sync_cluster();
  if (side == kSide) wait_for_kernel_before();
  let_next_kernel_start();
  if (warp >= kPanels) {
    leave_registers<56>();
    if (warp < kPanels + kCopyingWarps<gated>) {
      bring<side, gated>(launch, tiles, shared, warp - kPanels);
    } else if constexpr (gated) {
      send(launch, tiles, shared.staged);
    }
  } else {
    take_registers<224>();
    multiply<side, gated>(launch, tiles, shared, warp);
  }
  sync_cluster();  // no block leaves while another copies into it or arrives there
  // The next kernel waits for this one, which so includes the one beside it; that one had waited before this one began.
  if (side < kSide) wait_for_kernel_before();
#else
  __trap();  // without wgmma nothing is to be launched here
#endif
}

template <bool gated>
Grid grid_of(int side, int clusters) {
  const int cluster = kSide * side;
  return {.blocks = dim3(clusters * cluster), .threads = kThreads, .shared = sizeof(Shared<gated>), .cluster = cluster};
}

// How a launch is shared out: squares to clusters of four, and the last of them, by halves, to clusters of two where no four are neighbours,
// so that rounds of tiles are as few as can be.
struct Plan {
  const Squares squares;
  int clusters = prompt_clusters_bf16(), pairs = processors() / kSide - clusters * kSide, rounds, first;

  Plan(bool gated, const Launch& launch) : squares(launch, gated) {
    rounds = (squares.halves_from(0) - 1) / (clusters * kSide + pairs) + 1;
    while (squares.halves_from(first = std::min(squares.count, rounds * clusters)) > rounds * pairs) ++rounds;
  }

  // Whether this takes less time than matmul_prompt.cu; and enough k for its stages. Of few tokens steps are recorded, and nothing can be
  // unpacked.
  bool is_faster(DType type, bool gated, const Launch& launch) const {
    constexpr double kRound = 35, kOtherRound = 31, kOtherUnpackedRound = 34;  // microseconds for 4,096 k, measured
    constexpr double kUnpack = 0.7e-6;                                         // of a weight
    if (chunks_of(launch.cols) < kStages || (type != DType::BF16 && launch.rows <= kFewestUnpacked)) return false;
    const int others = (prompt_tiles(launch.rows, launch.panels, gated) - 1) / processors() + 1;
    const double k = launch.cols / 4096.0, weights = double(launch.panels) * kPanelRows * launch.cols * (gated ? 2 : 1);
    if (type == DType::BF16) return rounds * kRound < others * kOtherRound;
    return rounds * kRound * k + weights * kUnpack < others * kOtherUnpackedRound * k;
  }

  template <bool gated>
  void run(const Launch& launch, cudaStream_t stream) const {
    const int halves = squares.halves_from(first);
    const Grid fours = grid_of<gated>(kSide, std::min(clusters, first)), twos = grid_of<gated>(1, std::min(pairs, halves));
    cuda::launch(kName, prompt_matmul_bf16<kSide, gated>, fours, stream, launch, Share{squares, 0, first});
    if (halves > 0) cuda::launch(kName, prompt_matmul_bf16<1, gated>, twos, stream, launch, Share{squares, first, halves});
  }
};

}  // namespace

int prompt_clusters_bf16() {
  static OfDevice resident;
  return resident.get([] { return resident_clusters(kName, prompt_matmul_bf16<kSide, true>, grid_of<true>(kSide, 1)); });
}

bool multiply_prompt_bf16(DType type, bool gated, Launch launch, cudaStream_t stream) {
  const Plan plan(gated, launch);
  if (!plan.is_faster(type, gated, launch)) return false;
  if (type != DType::BF16 && !unpack_panels(type, gated, launch, stream)) return false;
  gated ? plan.run<true>(launch, stream) : plan.run<false>(launch, stream);
  return true;
}

}  // namespace kvasir::cuda
