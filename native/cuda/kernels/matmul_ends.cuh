#pragma once
// What cuda/kernels/matmul_wide.cu and matmul_prompt.cu share: operands, and how a block ends: what of the sums is whose, and where they go.
#include "cuda/kernels/matmul_launch.cuh"
#include "cuda/kernels/wgmma.cuh"

namespace kvasir::cuda {

inline constexpr int kGroupThreads = 128;                          // of a warpgroup
inline constexpr int kConsumers = 2;                               // warpgroups
inline constexpr int kThreads = (kConsumers + 1) * kGroupThreads;  // and one of which a warp brings x
inline constexpr int kPanels = kConsumers * 4;                     // of a block

// Where a block works.
struct Work {
  int row_tile;
  int first_token;
  int rank;
  int range, end_range;
};

// Of a gated block's warpgroup two warps have panels of the gate (matrix 0), two the same ones of up (1).
__device__ inline int matrix_of(int warp) {
  return warp / 2 % 2;
}

// The panel of a warp, of those that the launch numbers; beyond the last: none.
template <bool gated>
__device__ inline int panel_of(const Work& work, int warp) {
  return gated ? work.row_tile * 4 + warp / 4 * 2 + warp % 2 : work.row_tile * kPanels + warp;
}

// Operand A of a chunk: its four steps.
using Chunk = uint32_t[4][4];

// The next chunk of the warp's stream.
template <DType type, class Weights>
__device__ inline void take_chunk(Weights& weights, const uint8_t*& piece, int chunk, int end, int lane, Chunk& a) {
  const int in_piece = chunk % kPiece<type>;
  if (in_piece == 0) piece = weights.take();
  Raw<type> raw;
  load_chunk(piece, in_piece, lane, raw);
  if (in_piece + 1 == kPiece<type> || chunk + 1 == end) weights.release();
  unpack<type>(raw, 0, a[0], a[1]);
  unpack<type>(raw, 1, a[2], a[3]);
}

// Operand B of 16 k: a step of a chunk of x, whose tiles lie one after the other.
__device__ inline uint64_t operand_of_tiles(const uint8_t* tiles, int step) {
  return describe_operand(tiles + step * 2 * kCoreBytes, kCoreBytes, kTileBytes);
}

template <int width>
using Sums = float[width / 2];  // of rows g and g + 8: [4 i ..] of the tokens 8 i + 2 t, 8 i + 2 t + 1

// How many sums a block has of each element: one, or one of each of its ranges.
template <int ranks>
inline constexpr int kResults = ranks == 1 ? 1 : kRanges / ranks;

// Sum i of this lane is of row g or g + 8 of the panel, and of this token of the tile.
__device__ inline int row_of_sum(int i) {
  return threadIdx.x % kWarp / 4 + i % 4 / 2 * 8;
}
__device__ inline int token_of_sum(int i) {
  return i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2;
}

// Where sum i of this lane goes, if anywhere.
struct Target {
  int token, n;
  bool present;

  __device__ Target(const Launch& launch, const Part& part, int panel, int first_token, int i)
      : token(first_token + token_of_sum(i)),
        n((panel - part.first_panel) * kPanelRows + row_of_sum(i)),
        present(n < part.weight.rows && token < launch.rows) {}
};

__device__ inline void sync_consumers() {
  asm volatile("bar.sync 1, %0;" ::"n"(kConsumers * kGroupThreads) : "memory");
}

// The rows g and g + 8 of a lane in its panel: whether they are there, and their biases or 0.
struct OwnRows {
  int n;
  bool present[2];
  float bias[2];

  __device__ OwnRows(const Part& part, int panel) : n((panel - part.first_panel) * kPanelRows + row_of_sum(0)) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      present[i] = n + 8 * i < part.weight.rows;
      bias[i] = present[i] ? with_bias(0.0f, part.bias, n + 8 * i) : 0.0f;
    }
  }
};

// Whole: every warp has the sums of its panel. Of the tokens those from `begin` on, up to `end`, of the tile.
template <int width>
__device__ inline void write_whole(const Launch& launch, const Work& work, int warp, const Sums<width>& sums, int begin, int end) {
  const int panel = panel_of<false>(work, warp);
  if (panel >= launch.panels) return;
  const Part& part = part_of(launch, panel);
  const OwnRows own(part, panel);
  const int first = work.first_token + token_of_sum(0);
  if (part.y.type != DType::F32) {
#pragma unroll
    for (int i = begin / 2; i < end / 2; ++i) {
      const Target at(launch, part, panel, work.first_token, i);
      if (at.present) store(part.y, at.token, at.n, with_bias(sums[i], part.bias, at.n));
    }
    return;
  }
  float* y = static_cast<float*>(part.y.data) + first * part.y.stride + own.n;
#pragma unroll
  for (int i = begin / 2; i < end / 2; ++i) {
    const int token = token_of_sum(i) - token_of_sum(0), half = i % 4 / 2;
    if (own.present[half] && first + token < launch.rows) y[token * part.y.stride + 8 * half] = sums[i] + own.bias[half];
  }
}

// The same, added to the residual, some at a time: what they are added to comes together. Tiles of a prompt have no registers to wait with.
template <int width>
__device__ inline void add_whole(const Launch& launch, const Work& work, int warp, const Sums<width>& sums) {
  constexpr int kAtOnce = 16;
  const int panel = panel_of<false>(work, warp);
  if (panel >= launch.panels) return;
  const Part& part = part_of(launch, panel);
  const OwnRows own(part, panel);
#pragma unroll
  for (int first = 0; first < width / 2; first += kAtOnce) {
    float before[kAtOnce];
    const auto each = [&](const auto& f) {
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int half = i % 4 / 2, token = work.first_token + token_of_sum(first + i);
        if (own.present[half] && token < launch.rows) f(before[i], token, half, sums[first + i] + own.bias[half]);
      }
    };
    each([&](float& x, int token, int half, float) { x = load_before(launch, token, own.n + 8 * half); });
    each([&](float& x, int token, int half, float y) { put(launch, part, token, own.n + 8 * half, y, x); });
  }
}

// Shared memory of a gated block's end: some tokens' sums of each warpgroup, as its warps have them (two of the gate, two of up) and as its threads
// take them: of 8 tokens and each core of y (activations.cuh) the rows 2 c, 2 c + 8, 2 c + 1, 2 c + 9 of a panel, which are half of a core's row.
struct Products {
  static constexpr int kTokens = 4 * kTileRows;  // a tile of 8 for each warp
  float4 sums[kConsumers][4][kTokens / kTileRows][4][kTileRows];

  // Without conflicts of banks: neighbouring cores have their tokens in another order.
  __device__ static int place(int core, int token) { return token ^ (core & 1); }
};

__device__ inline void sync_warpgroup(int group) {
  if (group == 0) asm volatile("bar.sync 2, %0;" ::"n"(kGroupThreads) : "memory");
  if (group == 1) asm volatile("bar.sync 3, %0;" ::"n"(kGroupThreads) : "memory");
}

// activation(gate) * up of the rows 2 c, 2 c + 8, 2 c + 1, 2 c + 9 of a panel; 0 of those that are not there.
__device__ inline float4 products_of(const Launch& launch, int n, const float4& gate, const float4& up) {
  const auto product = [&](int row, float g, float u) {
    return row < launch.parts[0].weight.rows ? gated_product(launch, g, u, row) : 0.0f;
  };
  return {product(n, gate.x, up.x), product(n + 8, gate.y, up.y), product(n + 1, gate.z, up.z), product(n + 9, gate.w, up.w)};
}

// The thread's row of a core, of its warpgroup's sums: gate and up of two panels, the first of which is of the rows from `first_row` on.
__device__ inline void write_core_row(const Launch& launch, const View& y, const float4 (&sums)[4], int first_row, int token,
                                      uint8_t* tiles) {
  float4 products[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) products[i] = products_of(launch, first_row + i * kPanelRows, sums[i], sums[2 + i]);
  if (y.type == DType::BF16) {
    constexpr __nv_bfloat16 as{};
    *reinterpret_cast<uint4*>(tiles) = {pack(as, products[0].x, products[0].z), pack(as, products[0].y, products[0].w),
                                        pack(as, products[1].x, products[1].z), pack(as, products[1].y, products[1].w)};
  } else if (token < launch.rows) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int n = first_row + i / 4 * kPanelRows + i % 2 * 8 + i % 4 / 2;
      if (n < launch.parts[0].weight.rows) store(y, token, n, reinterpret_cast<const float*>(products)[i]);
    }
  }
}

// Whole and gated, of the tokens from `begin` on, up to `end`, of the tile: each warpgroup by itself, some at a time, of which a thread takes a
// token's row of a core.
template <int width>
__device__ inline void write_products(const Launch& launch, const Work& work, Products& shared, int warp, const Sums<width>& sums,
                                      int begin, int end) {
  const int lane = threadIdx.x % kWarp, group = warp / 4, g = lane / 4, core = lane / 8, token = lane % 8;
  const View& y = launch.parts[0].y;
  const bool has_panels = work.row_tile * 4 < launch.panels;  // not so of a cluster's last blocks
#pragma unroll
  for (int part = begin; part < end; part += Products::kTokens) {
    sync_warpgroup(group);  // no one reads what was here before
#pragma unroll
    for (int i = 0; i < Products::kTokens / 4; ++i) {
      const int at = part / 2 + i / 2 * 4 + i % 2;
      float4& rows = shared.sums[group][warp % 4][i / 2][g / 2][Products::place(g / 2, token_of_sum(i % 2))];
      reinterpret_cast<float2*>(&rows)[g % 2] = {sums[at], sums[at + 2]};
    }
    sync_warpgroup(group);
    const int tile = warp % 4, first = work.first_token + part + tile * kTileRows;
    if (first >= launch.rows || !has_panels) continue;
    float4 own[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) own[i] = shared.sums[group][i][tile][core][Products::place(core, token)];
    uint8_t* tiles = tile_address(y, first, work.row_tile) + (group * 4 + core) * kCoreBytes + token * 16;
    write_core_row(launch, y, own, (work.row_tile * 4 + group * 2) * kPanelRows + 2 * core, first + token, tiles);
  }
}

// The cluster's blocks each add their share of all ranges' sums, ascending.
template <int width, int ranks, bool gated>
__device__ inline void write_split(const Launch& launch, const Work& work, const float (*sums)[width / 2][kConsumers * kGroupThreads],
                                   int warp) {
  const int panel = panel_of<gated>(work, warp), thread = threadIdx.x;
  constexpr int kShare = width / 2 / ranks, kOwn = kResults<ranks>;
  if (panel >= launch.panels || (gated && matrix_of(warp) == 1)) return;
  const Part& part = part_of(launch, panel);
  float before[kShare];
#pragma unroll
  for (int i = 0; i < kShare; ++i) {
    const Target at(launch, part, panel, work.first_token, work.rank * kShare + i);
    before[i] = !gated && at.present ? load_before(launch, at.token, at.n) : 0.0f;
  }
#pragma unroll
  for (int k = 0; k < kShare; ++k) {
    const int i = work.rank * kShare + k;
    float sum = 0, up = 0;
    for (int range = 0; range < kRanges; ++range) {
      const float(&own)[kConsumers * kGroupThreads] = sums[range % kOwn][i];
      sum += load_from_block(&own[thread], range / kOwn);
      if (gated) up += load_from_block(&own[thread + 2 * kWarp], range / kOwn);
    }
    const Target at(launch, part, panel, work.first_token, i);
    if (!at.present) continue;
    put(launch, part, at.token, at.n, gated ? gated_product(launch, sum, up, at.n) : with_bias(sum, part.bias, at.n), before[k]);
  }
}

}  // namespace kvasir::cuda
