// add_norm: see ops/add_norm.h. One block a row, which L1 holds between its passes.
//
// Order of a sum of squares: thread i sums the elements i mod kThreads ascending, the lanes of a warp pairwise, the warps ascending.
// Bytes: 16 * rows * cols (14 where y is bfloat16). Limited by latency for few rows, by memory for many.
#include "cuda/kernels.h"
#include "cuda/kernels/activations.cuh"
#include "cuda/kernels/warp.cuh"
#include "cuda/runtime.h"

namespace kvasir::cuda {
namespace {

constexpr int kThreads = 256;

// The sum over the block, the same in every thread.
__device__ inline float block_sum(float x) {
  __shared__ float warps[kThreads / kWarp];
  const float own = warp_sum(x);
  __syncthreads();  // the last call's readers are done
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = own;
  __syncthreads();
  float sum = warps[0];
  for (int warp = 1; warp < kThreads / kWarp; ++warp) sum += warps[warp];
  return sum;
}

__device__ inline float block_norm_scale(const float* x, int cols, float epsilon) {
  float squares = 0;
  for (int i = threadIdx.x; i < cols; i += kThreads) squares = fmaf(x[i], x[i], squares);
  return 1.0f / sqrtf(block_sum(squares) / static_cast<float>(cols) + epsilon);
}

__global__ void __launch_bounds__(kThreads) add_norm(AddNorm op) {
  const int row = blockIdx.x;
  float* x = row_of(op.x, row);
  if (op.delta.data) {
    const float* delta = row_of(op.delta, row);
    const float* weight = static_cast<const float*>(op.post_weight.data);
    const float scale = weight ? block_norm_scale(delta, op.cols, op.epsilon) : 1.0f;
    for (int i = threadIdx.x; i < op.cols; i += kThreads) x[i] += weight ? delta[i] * scale * weight[i] : delta[i];
  }
  if (!op.y.data) return;
  // Each thread reads what it has written itself.
  const float* weight = static_cast<const float*>(op.weight.data);
  const float scale = block_norm_scale(x, op.cols, op.epsilon);
  for (int i = threadIdx.x; i < op.cols; i += kThreads) store(op.y, row, i, x[i] * scale * weight[i]);
}

}  // namespace

void run(const AddNorm& op, cudaStream_t stream) {
  if (op.rows == 0) return;
  add_norm<<<op.rows, kThreads, 0, stream>>>(op);
  check_launch("add_norm");
}

}  // namespace kvasir::cuda
