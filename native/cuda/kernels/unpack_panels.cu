// Packed weights as panels of bfloat16 (cuda/packed.cuh), for matmuls of so many tokens that to unpack them once takes less than to do it
// for each tile again (matmul_prompt_bf16.cu, which then runs them as weights of bfloat16):
//
//   W' = W as operand A has it (unpack.cuh), in the same units, rounded to bfloat16 the same way: the same bits of y
//
// Bytes: reads the packed ones (0.63 a weight of Q4_K), writes 2 a weight, which the matmul reads. Limited by memory: 3.8 TB/s of an H200's
// 4.8 with the layout of version 17.
#include "cuda/kernels/launch.h"
#include "cuda/kernels/matmul_tensor.h"
#include "cuda/kernels/matmul_tiles.cuh"
#include "cuda/runtime.h"

namespace kvasir::cuda {
namespace {

constexpr int kWarps = 8;

// As load_chunk, in global memory, where ldmatrix can't read.
template <DType type>
__device__ inline void load_from_memory(const uint8_t* first, int chunk, int lane, Raw<type>& raw) {
  if constexpr (type == DType::F16) {
    const auto* words = reinterpret_cast<const uint32_t*>(first + chunk * chunk_bytes(type)) + lane;
#pragma unroll
    for (int step = 0; step < 4; ++step, words += 4 * kWarp) {
      raw.quants[step] = make_uint4(words[0], words[kWarp], words[2 * kWarp], words[3 * kWarp]);
    }
  } else {
    load_chunk(first, chunk, lane, raw);
  }
}

// A warp has a group of a panel. Three blocks on a multiprocessor: what is on its way hides the way.
template <DType type>
__global__ void __launch_bounds__(kWarps* kWarp, 3) unpack_groups(const __grid_constant__ Launch launch, uint8_t* unpacked) {
  wait_in_turn();
  const int groups = groups_of(launch.cols), lane = static_cast<int>(threadIdx.x) % kWarp;
  const int item = static_cast<int>(blockIdx.x * kWarps + threadIdx.x / kWarp), panel = item / groups, group = item % groups;
  if (panel >= launch.panels) return;
  const int first = group * kGroupChunks, chunks = min(kGroupChunks, chunks_of(launch.cols) - first);
  const uint8_t* from = panel_data<false>(launch, panel, 0) + int64_t(first) * chunk_bytes(type);
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
  Launch parts = launch;  // gate and up are two, one behind the other
  if (gated) parts.count = 2, parts.parts[1].first_panel = launch.panels, parts.panels *= 2;
  const int64_t stride = packed_panel_bytes(DType::BF16, launch.cols);
  auto* unpacked = static_cast<uint8_t*>(launch.scratch == nullptr ? nullptr : launch.scratch->reserve(parts.panels * stride));
  if (unpacked == nullptr) return false;
  const Grid grid{.blocks = dim3((parts.panels * groups_of(launch.cols) - 1) / kWarps + 1), .threads = kWarps * kWarp};
  with_packed_type(type, [&](auto constant) {
    if constexpr (constant != DType::BF16) cuda::launch("unpacking weights", unpack_groups<constant>, grid, stream, parts, unpacked);
  });
  for (int i = 0; i < parts.count; ++i) {
    WeightView& weight = launch.parts[i].weight;
    weight.data = unpacked + parts.parts[i].first_panel * stride, weight.stride = stride, weight.type = DType::BF16;
  }
  return true;
}

}  // namespace kvasir::cuda
