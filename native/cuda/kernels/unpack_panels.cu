// Packed weights in bfloat16, for matmuls of so many tokens that to unpack them once takes less than to do it for each tile again
// (matmul_prompt_bf16.cu, which then runs them as weights of bfloat16):
//
//   W' = W as the matmuls take it (unpack.cuh), panels of 16 rows as cuda/packed.cuh has them of bfloat16
//
// Bytes: reads the packed ones (0.58 a weight of Q4_K), writes 2 a weight, which the matmul reads. Operations: some 3 a weight. Limited by
// memory.
#include "cuda/kernels/launch.h"
#include "cuda/kernels/matmul_tensor.h"
#include "cuda/kernels/matmul_tiles.cuh"
#include "cuda/runtime.h"

namespace kvasir::cuda {
namespace {

constexpr int kWarps = 8;

// As load_chunk, of a group in global memory.
template <DType type>
__device__ inline void load_from_memory(const uint8_t* group, int chunk, int lane, Raw<type>& raw) {
  if constexpr (is_half(type)) {
    const auto* words = reinterpret_cast<const uint32_t*>(group + chunk * chunk_bytes(type)) + lane;
#pragma unroll
    for (int step = 0; step < 4; ++step, words += 4 * kWarp) {
      raw.quants[step] = make_uint4(words[0], words[kWarp], words[2 * kWarp], words[3 * kWarp]);
    }
  } else {
    load_chunk(group, chunk, lane, raw);
  }
}

// A warp has a group of a panel.
template <DType type, bool gated>
__global__ void __launch_bounds__(kWarps* kWarp, 3) unpack_groups(const __grid_constant__ Launch launch, uint8_t* unpacked, int panels) {
  wait_in_turn();
  const int groups = groups_of(launch.cols), lane = static_cast<int>(threadIdx.x) % kWarp;
  const int item = static_cast<int>(blockIdx.x * kWarps + threadIdx.x / kWarp), panel = item / groups, group = item % groups;
  if (panel >= panels) return;
  const uint8_t* from = panel_data<gated>(launch, panel % launch.panels, panel / launch.panels) + int64_t(group) * group_bytes(type);
  const int first = group * kGroupChunks, chunks = min(kGroupChunks, chunks_of(launch.cols) - first);
  uint8_t* to = unpacked + panel * packed_panel_bytes(DType::BF16, launch.cols) + int64_t(first) * chunk_bytes(DType::BF16);
  Raw<type> raw[kGroupChunks];  // all are on their way at once
#pragma unroll
  for (int chunk = 0; chunk < kGroupChunks; ++chunk) {
    if (chunk < chunks) load_from_memory(from, chunk, lane, raw[chunk]);
  }
#pragma unroll
  for (int chunk = 0; chunk < kGroupChunks; ++chunk) {
    if (chunk >= chunks) return;
    Chunk a;
    unpack<type>(raw[chunk], 0, a[0], a[1]);
    unpack<type>(raw[chunk], 1, a[2], a[3]);
    auto* words = reinterpret_cast<uint32_t*>(to + chunk * chunk_bytes(DType::BF16)) + lane;
#pragma unroll
    for (int i = 0; i < 16; ++i) words[i * kWarp] = a[i / 4][i % 4];
  }
}

}  // namespace

bool unpack_panels(DType type, bool gated, Launch& launch, cudaStream_t stream) {
  const int64_t stride = packed_panel_bytes(DType::BF16, launch.cols);
  const int panels = launch.panels * (gated ? 2 : 1);
  auto* unpacked = static_cast<uint8_t*>(launch.scratch == nullptr ? nullptr : launch.scratch->reserve(panels * stride));
  if (unpacked == nullptr) return false;
  const Grid grid{.blocks = dim3((panels * groups_of(launch.cols) - 1) / kWarps + 1), .threads = kWarps * kWarp};
  with_packed_type(type, [&](auto constant) {
    if constexpr (constant != DType::BF16) {
      const auto kernel = gated ? unpack_groups<constant, true> : unpack_groups<constant, false>;
      cuda::launch("weights unpacked", kernel, grid, stream, launch, unpacked, panels);
    }
  });
  for (int i = 0; i < (gated ? 2 : launch.count); ++i) {
    WeightView& weight = launch.parts[i].weight;
    weight.data = unpacked + (gated ? i * launch.panels : launch.parts[i].first_panel) * stride, weight.stride = stride;
    weight.type = DType::BF16;
  }
  return true;
}

}  // namespace kvasir::cuda
