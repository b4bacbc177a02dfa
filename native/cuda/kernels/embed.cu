// embed: see ops/embed.h. One block a token.
#include "cuda/kernels.h"
#include "cuda/kernels/barrier.cuh"
#include "cuda/kernels/formats.cuh"
#include "cuda/kernels/launch.h"
#include "cuda/kernels/warp.cuh"

namespace kvasir::cuda {
namespace {

template <DType type>
__global__ void embed(const int32_t* token_ids, WeightView table, View y, float scale) {
  wait_in_turn();
  const int token = token_ids[blockIdx.x];
  float* to = row_of(y, blockIdx.x);
  for (int k = threadIdx.x; k < table.cols; k += blockDim.x) to[k] = element<type>(table, token, k) * scale;
}

template <DType type>
__global__ void add_positions(const int32_t* positions, WeightView table, View y) {
  wait_in_turn();
  const int position = positions[blockIdx.x];
  float* to = row_of(y, blockIdx.x);
  for (int k = threadIdx.x; k < table.cols; k += blockDim.x) to[k] += element<type>(table, position, k);
}

}  // namespace

void run(const Embed& op, cudaStream_t stream) {
  if (op.step->tokens == 0) return;
  const Grid grid{.blocks = dim3(op.step->tokens), .threads = 256};
  with_type(op.table->type,
            [&](auto type) { launch("embed", embed<type>, grid, stream, op.step->token_ids, view_of(*op.table), op.y, op.scale); });
  if (op.position_table == nullptr) return;
  with_type(op.position_table->type, [&](auto type) {
    launch("embed's positions", add_positions<type>, grid, stream, op.step->positions, view_of(*op.position_table), op.y);
  });
}

}  // namespace kvasir::cuda
