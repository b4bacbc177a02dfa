// add_norm: see ops/add_norm.h. One warp a row; the residual stays in registers of no one: rows are short, and L1 holds them.
// Bytes: 16 * rows * cols. Limited by latency for few rows, by memory for many.
#include "cuda/kernels.h"
#include "cuda/kernels/warp.cuh"
#include "cuda/runtime.h"

namespace kvasir::cuda {
namespace {

constexpr int kWarps = 4;

__global__ void add_norm(AddNorm op) {
  const int row = blockIdx.x * kWarps + threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  if (row >= op.rows) return;
  float* x = row_of(op.x, row);
  if (op.delta.data) {
    const float* delta = row_of(op.delta, row);
    const float* weight = static_cast<const float*>(op.post_weight.data);
    const float scale = weight ? norm_scale(delta, op.cols, op.epsilon) : 1.0f;
    for (int i = lane; i < op.cols; i += kWarp) x[i] += weight ? delta[i] * scale * weight[i] : delta[i];
  }
  if (!op.y.data) return;
  const float* weight = static_cast<const float*>(op.weight.data);
  float* y = row_of(op.y, row);
  const float scale = norm_scale(x, op.cols, op.epsilon);
  for (int i = lane; i < op.cols; i += kWarp) y[i] = x[i] * scale * weight[i];
}

}  // namespace

void run(const AddNorm& op, cudaStream_t stream) {
  if (op.rows == 0) return;
  add_norm<<<(op.rows + kWarps - 1) / kWarps, kWarps * kWarp, 0, stream>>>(op);
  check_launch("add_norm");
}

}  // namespace kvasir::cuda
