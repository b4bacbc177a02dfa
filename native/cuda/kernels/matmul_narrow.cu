// matmul of few tokens on the tensor cores, for packed weights and bfloat16 x: y[t][n] = scale[t] sum_k W[n][k] x[t][k] + bias[n]
//
//   W     panels of 16 rows (cuda/packed.cuh)      x [rows, K] bfloat16      y [rows, N]
//
// mma.sync m16n8k16: the 16 rows of a panel are the M, 8 tokens the N. The 8 warps of a block have the 8 ranges of k of one panel (16
// warps: of gate and up); weights stream into shared memory by bulk copies, some 8 to 20 KiB a warp under way, panel after panel without a
// pause, and are made bfloat16 in registers. x comes from L1 and L2 (matmul_range.cuh). For the order of sums see matmul_launch.cuh.
//
// Around it: the sum of the add_norm that follows and that one's y, and the scales of the norm before (row_scales.cuh); both are asked
// for while the first weights come.
//
// Bytes: the weights, once for each 8 * tiles tokens; x from L2 once a panel. Operations: 2 * rows * N * K. Limited by memory, and
// where a matrix is small by what a launch waits for; at 4 bits some 55 instructions for 1024 weights.
#include <algorithm>

#include "cuda/kernels/formats.cuh"
#include "cuda/kernels/launch.h"
#include "cuda/kernels/matmul_range.cuh"
#include "cuda/kernels/matmul_tensor.h"

namespace kvasir::cuda {
namespace {

constexpr int kMostRingBytes = 20 * 1024;  // of a warp
constexpr int kThreads = kRanges * kWarp;  // of one matrix

// The range's sums of a panel: [row][token], for the block's other warps to add.
template <int tiles>
__device__ inline void put_sums(float (*to)[tiles * 8], int lane, const float (&sums)[tiles][4]) {
  const int g = lane / 4, t = lane % 4;
#pragma unroll
  for (int tile = 0; tile < tiles; ++tile) {
    for (int i = 0; i < 4; ++i) to[g + i / 2 * 8][tile * 8 + 2 * t + i % 2] = sums[tile][i];
  }
}

template <int tiles>
using Sums = float[kRanges][16][tiles * 8];

// All ranges' sums, added ascending.
template <int tiles>
__device__ inline float add_ranges(const Sums<tiles>& sums, int row, int token) {
  float sum = 0;
  for (int range = 0; range < kRanges; ++range) sum += sums[range][row][token];
  return sum;
}

// The elements of a panel that a block finishes, one a thread.
template <int tiles>
struct Element {
  int row, column, n, token;
  bool present;

  __device__ Element(const Launch& launch, const Part& part, int panel, int first_token)
      : row(threadIdx.x % 16),
        column(threadIdx.x / 16),
        n((panel - part.first_panel) * kPanelRows + row),
        token(first_token + column),
        present(column < tiles * 8 && n < part.weight.rows && token < launch.rows) {}
};

// What of an add_norm's an element is made of: asked for early.
struct Before {
  float x = 0, weight = 0;

  template <int tiles>
  __device__ Before(const Launch& launch, const Element<tiles>& at) {
    if (!at.present) return;
    x = load_before(launch, at.token, at.n);
    if (launch.added.y.data) weight = launch.added.weight[at.n];
  }
};

static_assert(kPartCols == kPanelRows);  // a panel's rows are a part of the norm's columns

template <int tiles>
__device__ inline void write_sum(const Launch& launch, const Part& own, const Sums<tiles>& sums, const Element<tiles>& at, float scale,
                                 const Before& before) {
  if (at.column >= tiles * 8) return;
  float x = 0;
  if (at.present) {
    const float y = scaled(add_ranges<tiles>(sums, at.row, at.column), scale, bias_of(own, at.n));
    x = put(launch, own, at.token, at.n, y, before.x);
  }
  if (!launch.added.y.data) return;
  if (at.present) store(launch.added.y, at.token, at.n, __fmul_rn(x, before.weight));
  const float squares = part_of_squares(x);
  if (at.row == 0 && at.token < launch.rows) {
    launch.added.left.values[at.token * parts_of(own.weight.rows) + at.n / kPartCols] = squares;
  }
}

template <int tiles>
__device__ inline void write_product(const Launch& launch, const Sums<tiles> (&sums)[2], const Element<tiles>& at, float scale) {
  if (!at.present) return;
  const float gate = add_ranges<tiles>(sums[0], at.row, at.column), up = add_ranges<tiles>(sums[1], at.row, at.column);
  store(launch.parts[0].y, at.token, at.n, gated_product(launch, gate, up, scale, at.n));
}

// Without so many blocks a multiprocessor, registers are no limit.
template <class Range, bool gated>
inline constexpr int kBlocks = Range::kWhole && !gated ? 2 : 1;

template <DType type, int tiles, bool gated, class Range>
__global__ void __launch_bounds__(kThreads*(gated ? 2 : 1), kBlocks<Range, gated>) narrow_matmul(const __grid_constant__ Launch launch) {
  extern __shared__ __align__(128) uint8_t shared[];  // a ring for each warp
  __shared__ Sums<tiles> sums[2][gated ? 2 : 1];
  __shared__ float scales[tiles * 8];
  __shared__ uint64_t full[kRanges * (gated ? 2 : 1)][stages_in<type>(kMostRingBytes)];
  const int warp = uniform(threadIdx.x / kWarp), lane = threadIdx.x % kWarp, matrix = warp / kRanges, range = warp % kRanges;
  const int begin = range_begin(launch.cols, range), end = range_begin(launch.cols, range + 1), first_token = blockIdx.y * tiles * 8;
  int next = blockIdx.x;
  const auto next_panel = [&]() -> const uint8_t* {
    if (next >= launch.panels) return nullptr;
    const uint8_t* data = panel_data<gated>(launch, next, matrix);
    next += gridDim.x;
    return data;
  };
  typename Range::template Stream<decltype(next_panel)> weights(shared + warp * launch.stages * kPieceBytes<type>, full[warp],
                                                                launch.stages, begin, end, next_panel);
  const uint32_t* rows[tiles];
  find_rows<tiles>(launch, first_token, lane, rows);
  wait_in_turn();
  constexpr int kWarps = kRanges * (gated ? 2 : 1);
  const RowScale own_scale(launch.scales, first_token + warp, launch.rows);
  Range own_range(launch, rows, begin, end, weights);
  if (warp < tiles * 8) scales[warp] = launch.unit * own_scale.get();
  if (tiles * 8 > kWarps) scales[warp + kWarps] = launch.unit * RowScale(launch.scales, first_token + warp + kWarps, launch.rows).get();
  int turn = 0;
  for (int panel = blockIdx.x; panel < launch.panels; panel += gridDim.x, turn ^= 1) {
    const Part& part = gated ? launch.parts[0] : part_of(launch, panel);
    const Element<tiles> at(launch, part, panel, first_token);
    const Before before(launch, at);
    float own[tiles][4] = {};
    own_range.multiply(lane, weights, panel + static_cast<int>(gridDim.x) >= launch.panels, own);
    put_sums<tiles>(sums[turn][matrix][range], lane, own);
    __syncthreads();  // the other turn's sums have been read before any warp comes here again
    const float scale = at.present ? scales[at.column] : 1.0f;
    if constexpr (gated) write_product<tiles>(launch, sums[turn], at, scale);
    if constexpr (!gated) write_sum<tiles>(launch, part, sums[turn][0], at, scale, before);
  }
}

// Whether a block may have rings of so many bytes, beside its sums (of as many tokens as a step may have: what a row goes through must not
// depend on the others) and barriers.
bool rings_fit(int matrices, int bytes) {
  constexpr size_t kMostBarrierBytes = 2048;
  return matrices * (size_t(kRanges) * bytes + 2 * sizeof(Sums<2>)) + kMostBarrierBytes <= most_shared();
}

// Of a warp. Measured: what doesn't give each multiprocessor a block has all that it streams under way; more than needed takes L1 from x.
int ring_bytes(DType type, bool gated, int panels) {
  constexpr int kUsual = 8 << 10;
  const int wanted = panels <= processors() ? kMostRingBytes : is_half(type) && panels <= 2 * processors() ? 12 << 10 : kUsual;
  return !gated && is_hopper_or_later() && rings_fit(1, wanted) ? wanted : kUsual;
}

// Of a ring: no more than a warp streams, as the next kernel's blocks, whose weights come meanwhile, need room, too. Before Hopper always
// as many as its copies are counted by.
template <DType type>
int stages_of(const Launch& launch, bool gated) {
  const int wanted = stages_in<type>(ring_bytes(type, gated, launch.panels));
  if (!is_hopper_or_later()) return wanted;
  const int range_pieces = ((groups_of(launch.cols) + kRanges - 1) / kRanges * kGroupChunks + kPiece<type> - 1) / kPiece<type>;
  return std::clamp((launch.panels + processors() - 1) / processors() * range_pieces, 2, wanted);
}

template <DType type, int tiles, bool gated, class Range>
void launch_kernel(Launch launch, cudaStream_t stream) {
  constexpr int kMatrices = gated ? 2 : 1;
  launch.stages = stages_of<type>(launch, gated);
  const size_t shared = size_t(kMatrices) * kRanges * launch.stages * kPieceBytes<type>;
  const int resident = resident_blocks(narrow_matmul<type, tiles, gated, Range>, kMatrices * kThreads, shared);
  const Grid grid{.blocks = dim3(std::min(launch.panels, resident), (launch.rows + tiles * 8 - 1) / (tiles * 8)),
                  .threads = kMatrices * kThreads,
                  .shared = shared};
  cuda::launch("matmul of few tokens", narrow_matmul<type, tiles, gated, Range>, grid, stream, launch);
}

// Measured: for up to 8 tokens, all but gate and up of 16 bits gain by reading ahead, and short ranges of quantized weights by holding x.
template <DType type, int tiles, bool gated>
void choose_kernel(const Launch& launch, cudaStream_t stream) {
  if constexpr (tiles == 1 && !(is_half(type) && gated)) {
    if (launch.cols % kGroup == 0) {
      const bool is_short = groups_of(launch.cols) * kGroupChunks <= kRanges * kHeldChunks;
      if constexpr (!is_half(type)) {
        if (is_short) return launch_kernel<type, tiles, gated, WholeRange<type, tiles, true>>(launch, stream);
      }
      return launch_kernel<type, tiles, gated, WholeRange<type, tiles, false>>(launch, stream);
    }
  }
  launch_kernel<type, tiles, gated, AnyRange<type, tiles>>(launch, stream);
}

template <class Kernel>
void with_tiles(int rows, const Kernel& kernel) {
  if (rows <= 8) return kernel(std::integral_constant<int, 1>());
  kernel(std::integral_constant<int, 2>());
}

}  // namespace

bool gate_fits(DType type) {
  bool fits = false;
  with_packed_type(type, [&](auto constant) { fits = rings_fit(2, kRingBytes<constant>); });
  return fits;
}

void multiply_narrow(DType type, bool gated, const Launch& launch, cudaStream_t stream) {
  with_packed_type(type, [&](auto constant) {
    with_tiles(launch.rows, [&](auto tiles) {
      if (gated) return choose_kernel<constant, tiles, true>(launch, stream);
      choose_kernel<constant, tiles, false>(launch, stream);
    });
  });
}

}  // namespace kvasir::cuda
