// gather_rows: see ops/gather_rows.h. One block a row.
#include "cuda/kernels.h"
#include "cuda/kernels/barrier.cuh"
#include "cuda/kernels/launch.h"
#include "cuda/kernels/warp.cuh"

namespace kvasir::cuda {
namespace {

__global__ void gather_rows(const int32_t* out_tokens, View x, View y, int cols) {
  wait_in_turn();
  const float* from = row_of(x, out_tokens[blockIdx.x]);
  float* to = row_of(y, blockIdx.x);
  for (int i = threadIdx.x; i < cols; i += blockDim.x) to[i] = from[i];
}

}  // namespace

void run(const GatherRows& op, cudaStream_t stream) {
  if (op.count == 0) return;
  launch("gather_rows", gather_rows, {.blocks = dim3(op.count), .threads = 256}, stream, op.step->out_tokens + op.first, op.x, op.y,
         op.cols);
}

}  // namespace kvasir::cuda
