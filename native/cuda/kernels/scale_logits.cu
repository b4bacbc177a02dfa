// scale_logits: see ops/scale_logits.h. One thread an element; limited by memory.
#include "cuda/kernels.h"
#include "cuda/kernels/barrier.cuh"
#include "cuda/kernels/gate.cuh"
#include "cuda/kernels/launch.h"
#include "cuda/kernels/warp.cuh"

namespace kvasir::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void scale_logits(ScaleLogits op) {
  wait_in_turn();
  const int col = blockIdx.x * kThreads + threadIdx.x;
  if (col >= op.cols) return;
  float* x = row_of(op.x, blockIdx.y) + col;
  const float scaled = *x * op.scale;
  *x = op.softcap > 0 ? soft_cap(scaled, op.softcap) : scaled;
}

}  // namespace

void run(const ScaleLogits& op, cudaStream_t stream) {
  if (op.rows == 0) return;
  const Grid grid{.blocks = dim3((op.cols + kThreads - 1) / kThreads, op.rows), .threads = kThreads};
  launch("scale_logits", scale_logits, grid, stream, op);
}

}  // namespace kvasir::cuda
