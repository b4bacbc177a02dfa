#pragma once
// How a block of matmul_wide.cu ends: where its sums go (of prompts: matmul_prompt_ends.cuh).
#include "cuda/kernels/matmul_tiles.cuh"

namespace kvasir::cuda {

// Where sum i of this lane goes, if anywhere.
struct Target {
  int token, n;
  bool present;

  __device__ Target(const Launch& launch, const Part& part, int panel, int first_token, int i)
      : token(first_token + token_of_sum(i)),
        n((panel - part.first_panel) * kPanelRows + row_of_sum(i)),
        present(n < part.weight.rows && token < launch.rows) {}
};

// The rows g and g + 8 of a lane in its panel: whether they are there, and their biases or 0.
struct OwnRows {
  int n;
  bool present[2];
  float bias[2];

  __device__ OwnRows(const Part& part, int panel) : n((panel - part.first_panel) * kPanelRows + row_of_sum(0)) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      present[i] = n + 8 * i < part.weight.rows;
      bias[i] = present[i] ? bias_of(part, n + 8 * i) : 0.0f;
    }
  }
};

// Sums times their tokens' scales.
template <int width>
__device__ inline void scale_sums(const Launch& launch, const Work& work, Sums<width>& sums) {
#pragma unroll
  for (int i = 0; i < width / 2; ++i)
    sums[i] = __fmul_rn(sums[i], scale_of(launch, launch.scales.values, work.first_token + token_of_sum(i)));
}

// Whole: every warp has the sums of its panel, scaled.
template <int width>
__device__ inline void write_whole(const Launch& launch, const Work& work, int warp, const Sums<width>& sums) {
  const int panel = panel_of<false>(work, warp);
  if (panel >= launch.panels) return;
  const Part& part = part_of(launch, panel);
  const OwnRows own(part, panel);
  const int first = work.first_token + token_of_sum(0);
  if (part.y.type != DType::F32) {
#pragma unroll
    for (int i = 0; i < width / 2; ++i) {
      const Target at(launch, part, panel, work.first_token, i);
      if (at.present) store(part.y, at.token, at.n, sums[i] + bias_of(part, at.n));
    }
    return;
  }
  float* y = static_cast<float*>(part.y.data) + first * part.y.stride + own.n;
#pragma unroll
  for (int i = 0; i < width / 2; ++i) {
    const int token = token_of_sum(i) - token_of_sum(0), half = i % 4 / 2;
    if (own.present[half] && first + token < launch.rows) y[token * part.y.stride + 8 * half] = sums[i] + own.bias[half];
  }
}

// The same, added to the residual, some at a time: what they are added to comes together.
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

// Shared memory of a gated block's end: of each warpgroup some tokens' sums for the other one, and tiles of y.
struct Products {
  static constexpr int kMostTokens = 32;
  float sums[kConsumers][kMostTokens / 2][kGroupThreads];
  uint8_t tiles[kConsumers][kMostTokens / kTileRows][kTileBytes];
};

// Values of row n and of the tokens 2 t and 2 t + 1 into a tile; lanes whose rows are neighbours exchange one of them, so that each stores
// a pair.
__device__ inline void store_products(__nv_bfloat16* tile, float first, float second) {
  const bool odd = threadIdx.x % 8 >= 4;
  const float got = __shfl_xor_sync(0xffffffffu, odd ? first : second, 4);
  *reinterpret_cast<__nv_bfloat162*>(tile) = odd ? __floats2bfloat162_rn(got, second) : __floats2bfloat162_rn(first, got);
}

// Whole, scaled and gated: the warpgroup of the gate finishes the first half of the tokens, that of up the second, some tokens after the
// other.
template <int width>
__device__ inline void write_products(const Launch& launch, const Work& work, Products& shared, int warp, const Sums<width>& sums) {
  constexpr int kTokens = width / 2 < Products::kMostTokens ? width / 2 : Products::kMostTokens;
  const int panel = panel_of<true>(work, warp), thread = threadIdx.x % kGroupThreads, group = warp / 4;
  const OwnRows gate(launch.parts[0], panel), up(launch.parts[1], panel);
  const View& y = launch.parts[0].y;
  auto* tiles = reinterpret_cast<__nv_bfloat16*>(shared.tiles[group]);
  auto* own_tile = tiles + place_in_tiles(kTileCols, token_of_sum(0) + thread / 4 % 2, gate.n % kTileCols & ~1);
#pragma unroll
  for (int part = 0; part < width / 2; part += kTokens) {
    const int first = work.first_token + group * (width / 2) + part;
    sync_consumers();  // no one reads what was here before
#pragma unroll
    for (int i = 0; i < kTokens / 2; ++i) {
      const float low = sums[part / 2 + i], high = sums[width / 4 + part / 2 + i];
      shared.sums[group][i][thread] = group == 0 ? high : low;
    }
    sync_consumers();
    float products[kTokens / 2];
#pragma unroll
    for (int i = 0; i < kTokens / 2; ++i) {
      const int half = i % 4 / 2;
      const float low = sums[part / 2 + i], high = sums[width / 4 + part / 2 + i];
      const float own = group == 0 ? low : high, other = shared.sums[1 - group][i][thread];
      const float g = (group == 0 ? own : other) + gate.bias[half], u = (group == 0 ? other : own) + up.bias[half];
      products[i] = gate.present[half] ? activate_fast(launch.activation, g) * u : 0.0f;
    }
    if (y.type != DType::BF16) {
#pragma unroll
      for (int i = 0; i < kTokens / 2; ++i) {
        const int token = first + token_of_sum(i);
        if (gate.present[i % 4 / 2] && token < launch.rows) store(y, token, gate.n + i % 4 / 2 * 8, products[i]);
      }
      continue;
    }
#pragma unroll
    for (int i = 0; i < kTokens / 2; i += 2) {
      store_products(own_tile + i / 4 * (kTileBytes / 2) + i % 4 / 2 * 2, products[i], products[i + 1]);  // 8 columns on: the next pair
    }
    if (group == 0) asm volatile("bar.sync 2, %0;" ::"n"(kGroupThreads) : "memory");
    if (group == 1) asm volatile("bar.sync 3, %0;" ::"n"(kGroupThreads) : "memory");
    const int count = min(kTokens, launch.rows - first + kTileRows - 1) / kTileRows;
    auto* to = reinterpret_cast<uint4*>(tile_address(y, first, work.row_tile));
    for (int i = thread; i < count * (kTileBytes / 16); i += kGroupThreads) to[i] = reinterpret_cast<const uint4*>(tiles)[i];
  }
}

}  // namespace kvasir::cuda
