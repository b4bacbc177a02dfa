#pragma once
// Tiles of matmul_wide.cu that several blocks share, each with some of the ranges of k: how their sums come together.
#include "cuda/kernels/matmul_ends.cuh"

namespace kvasir::cuda {

static_assert(SplitSums::kSumBytes == size_t(SplitSums::kMostTileTokens) * kPanels * kPanelRows * kRanges * sizeof(float));

// Where a lane has its sums of a range of a panel in memory, [width / 8][lane]; `panel` is the number among all tiles'.
template <int width>
__device__ inline float4* place_of_range(const SplitSums& split, int panel, int range) {
  return split.sums + (int64_t(panel) * kRanges + range) * (width / 8 * kWarp) + threadIdx.x % kWarp;
}

template <int width>
__device__ inline void put_range(float4* to, const Sums<width>& sums) {
#pragma unroll
  for (int i = 0; i < width / 8; ++i) __stcg(to + i * kWarp, make_float4(sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]));
}

// Four sums of all ranges, added ascending.
template <int width>
__device__ inline float4 add_ranges(const SplitSums& split, int groups, int panel, int i) {
  float4 own[kRanges], total = {};
#pragma unroll
  for (int range = 0; range < kRanges; ++range) {
    const bool is_empty = first_group(groups, range) == first_group(groups, range + 1);
    own[range] = is_empty ? float4{} : __ldcg(place_of_range<width>(split, panel, range) + i * kWarp);
  }
#pragma unroll
  for (const float4& sum : own) total.x += sum.x, total.y += sum.y, total.z += sum.z, total.w += sum.w;
  return total;
}

// Hands what this warp has put to so many that share its panel, and waits until all have. A tile's blocks follow one another, and blocks start
// in the order of their numbers (CUDA doesn't promise it, CUB's scans stand on it, too): of a launch no more than seven wait for one that has
// not started, so that others find room unless some 37 streams do so at once (18 with one block a multiprocessor).
__device__ inline void meet(uint32_t* arrived, uint32_t warps) {
  __syncwarp();
  if (threadIdx.x % kWarp == 0) {
    __threadfence();
    atomicAdd(arrived, 1);
    while (load_acquired(arrived) < warps) {
    }
  }
  __syncwarp();
}
// Each of them at its end; the last one leaves zero for the next launch.
__device__ inline void leave(uint32_t* arrived, uint32_t warps) {
  if (threadIdx.x % kWarp == 0 && atomicAdd(arrived, 1) + 1 == 2 * warps) *arrived = 0;
}

// This warp's share, the i-th of `warps`, of the end of a panel, or of one of gate and the one of up after it.
template <int width, bool gated>
__device__ inline void write_share(const Launch& launch, const Work& work, int panel, int own, int first, int warps) {
  const Part& part = gated ? launch.parts[0] : part_of(launch, panel);
  const int groups = groups_of(launch.cols);
#pragma unroll(gated ? 1 : 2)
  for (int i = first; i < width / 8; i += warps) {
    float before[4], scales[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const Target at(launch, part, panel, work.first_token, 4 * i + k);
      before[k] = !gated && at.present ? load_before(launch, at.token, at.n) : 0.0f;
      scales[k] = at.present && launch.scales.values ? launch.scales.values[at.token] : 1.0f;
    }
    const float4 all = add_ranges<width>(launch.split, groups, own, i),
                 up_all = gated ? add_ranges<width>(launch.split, groups, own + 1, i) : float4{};
    const float sums[4] = {all.x, all.y, all.z, all.w}, up[4] = {up_all.x, up_all.y, up_all.z, up_all.w};
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const Target at(launch, part, panel, work.first_token, 4 * i + k);
      if (!at.present) continue;
      scales[k] *= launch.unit;  // not before: it would take a register meanwhile
      const float y = gated ? gated_product(launch, sums[k], up[k], scales[k], at.n) : scaled(sums[k], scales[k], bias_of(part, at.n));
      put(launch, part, at.token, at.n, y, before[k]);
    }
  }
}

}  // namespace kvasir::cuda
