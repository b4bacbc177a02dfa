// add_norm: see ops/add_norm.h. One block a row, which its threads hold in registers between the passes, four elements at a time.
//
// Order of a sum, of squares or for a mean: thread i sums the fours i mod kThreads, ascending, the lanes of a warp pairwise, the warps
// ascending; of squares whose scale is left to the readers of y: row_scales.cuh.
// Of most models' steps of few tokens and of prompts the first norm and the last alone come here; the others are made by matmuls
// (fused_ops.h), for prompts all but the scales of their sums of squares (add_squares).
// Bytes: 16 * rows * cols (14 where y is bfloat16). Limited by latency for few rows, by memory for many.
#include "cuda/kernels.h"
#include "cuda/kernels/activations.cuh"
#include "cuda/kernels/barrier.cuh"
#include "cuda/kernels/launch.h"
#include "cuda/kernels/row_scales.cuh"
#include "cuda/kernels/warp.cuh"

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

// Four elements of a row from column 4 * four on; 0 beyond its end.
__device__ inline float4 load_four(const float* row, int four, int cols) {
  if (4 * four + 3 < cols && reinterpret_cast<uintptr_t>(row) % 16 == 0) return *reinterpret_cast<const float4*>(row + 4 * four);
  const auto at = [&](int i) { return 4 * four + i < cols ? row[4 * four + i] : 0.0f; };
  return {at(0), at(1), at(2), at(3)};
}

__device__ inline float squares_of(float4 x, float sum) {
  return fmaf(x.w, x.w, fmaf(x.z, x.z, fmaf(x.y, x.y, fmaf(x.x, x.x, sum))));
}

__device__ inline float scale_of(float squares, const AddNorm& op) {
  return scale_of_squares(block_sum(squares), op.cols, op.norm.epsilon);
}

// Takes the mean away; columns beyond the row's end stay 0.
template <int held>
__device__ inline void center(float4 (&x)[held], int cols) {
  float sum = 0;
  for (int i = 0; i < held; ++i) sum += x[i].x + x[i].y + x[i].z + x[i].w;
  const float mean = block_sum(sum) / static_cast<float>(cols);
  for (int i = 0; i < held; ++i) {
    const int col = 4 * (threadIdx.x + i * kThreads);
    const auto centered = [&](float value, int at) { return col + at < cols ? value - mean : 0.0f; };
    x[i] = {centered(x[i].x, 0), centered(x[i].y, 1), centered(x[i].z, 2), centered(x[i].w, 3)};
  }
}

__device__ inline void store_four(const View& view, int row, int four, int cols, float4 x) {
  const int col = 4 * four;
  if (col + 3 < cols) {
    float* place = row_of(view, row) + col;
    if (view.type == DType::F32 && reinterpret_cast<uintptr_t>(place) % 16 == 0) {
      *reinterpret_cast<float4*>(place) = x;
      return;
    }
    store_pair(view, row, col, x.x, x.y);
    store_pair(view, row, col + 2, x.z, x.w);
    return;
  }
  const float values[4] = {x.x, x.y, x.z, x.w};
  for (int i = 0; i < 4 && col + i < cols; ++i) store(view, row, col + i, values[i]);
}

// A row's scale for those that read its y, which leaves it out.
template <int held>
__device__ inline void leave_scale(const AddNorm& op, const float4 (&own)[held], float* scale) {
  __shared__ float parts[kMostParts];
#pragma unroll
  for (int i = 0; i < held; ++i) {
    const int four = threadIdx.x + i * kThreads, part = 4 * four / kPartCols;
    const float squares = part_of_squares(own[i]);
    if (four % 4 == 0 && part < parts_of(op.cols)) parts[part] = squares;
  }
  __syncthreads();
  if (threadIdx.x >= kWarp) return;
  const float own_scale = RowScale({.values = parts, .cols = op.cols, .epsilon = op.norm.epsilon}, 0, 1).get();
  if (threadIdx.x == 0) *scale = own_scale;
}

// y of a row, whose elements are `own`, but for its scale where that is left to others.
template <int held, bool layer>
__device__ inline void put_norm(const AddNorm& op, int row, const float4 (&norm)[held], float4 (&own)[held], float* scales) {
  const float *weight = static_cast<const float*>(op.weight.data), *bias = static_cast<const float*>(op.bias.data);
  if (layer && weight) center(own, op.cols);
  float scale = 1.0f;
  if (weight && !scales) {
    float squares = 0;
#pragma unroll
    for (int i = 0; i < held; ++i) squares = squares_of(own[i], squares);
    scale = scale_of(squares, op);
  }
#pragma unroll
  for (int i = 0; i < held; ++i) {
    const int four = threadIdx.x + i * kThreads;
    const float4 w = weight ? norm[i] : float4{1, 1, 1, 1}, v = own[i];
    float4 y{v.x * scale * w.x, v.y * scale * w.y, v.z * scale * w.z, v.w * scale * w.w};
    if (bias) {
      const float4 b = load_four(bias, four, op.cols);
      y = {y.x + b.x, y.y + b.y, y.z + b.z, y.w + b.w};
    }
    store_four(op.y, row, four, op.cols, y);
  }
  if (scales) leave_scale(op, own, scales + row);
}

// `held`: fours of a thread, enough for the row. `layer`: the norm takes the mean away.
template <int held, bool layer>
__global__ void __launch_bounds__(kThreads) add_norm(AddNorm op, float* scales) {
  let_next_kernel_start();
  const int row = blockIdx.x;
  float4 own[held], norm[held];  // y's weight is on its way while the kernel before still runs
  if (op.y.data && op.weight.data) {
#pragma unroll
    for (int i = 0; i < held; ++i) norm[i] = load_four(static_cast<const float*>(op.weight.data), threadIdx.x + i * kThreads, op.cols);
  }
  wait_for_kernel_before();
  float* x = row_of(op.x, row);
#pragma unroll
  for (int i = 0; i < held; ++i) own[i] = load_four(x, threadIdx.x + i * kThreads, op.cols);
  if (op.delta.data) {
    const float *delta = row_of(op.delta, row), *weight = static_cast<const float*>(op.post_weight.data);
    float4 added[held];
    float squares = 0;
#pragma unroll
    for (int i = 0; i < held; ++i) added[i] = load_four(delta, threadIdx.x + i * kThreads, op.cols);
    if (layer && weight) center(added, op.cols);
#pragma unroll
    for (int i = 0; i < held; ++i) squares = squares_of(added[i], squares);
    const float scale = (weight ? scale_of(squares, op) : 1.0f) * op.delta_scale;
#pragma unroll
    for (int i = 0; i < held; ++i) {
      const int four = threadIdx.x + i * kThreads;
      const float4 w = weight ? load_four(weight, four, op.cols) : float4{1, 1, 1, 1}, d = added[i];
      own[i] = {own[i].x + d.x * scale * w.x, own[i].y + d.y * scale * w.y, own[i].z + d.z * scale * w.z, own[i].w + d.w * scale * w.w};
      store_four(op.x, row, four, op.cols, own[i]);
    }
  }
  if (op.y.data) put_norm<held, layer>(op, row, norm, own, scales);
}

// A warp a row.
__global__ void add_squares(RowScales squares, int rows, float* scales) {
  wait_in_turn();
  const int row = (blockIdx.x * kThreads + threadIdx.x) / kWarp;
  if (row >= rows) return;
  const float scale = RowScale(squares, row, rows).get();
  if (threadIdx.x % kWarp == 0) scales[row] = scale;
}

template <bool layer>
void run_held(const AddNorm& op, cudaStream_t stream, float* scales) {
  const int held = (op.cols + 4 * kThreads - 1) / (4 * kThreads);
  const Grid grid{.blocks = dim3(op.rows), .threads = kThreads};
  if (held <= 1) {
    launch("add_norm", add_norm<1, layer>, grid, stream, op, scales);
  } else if (held <= 2) {
    launch("add_norm", add_norm<2, layer>, grid, stream, op, scales);
  } else if (held <= 4) {
    launch("add_norm", add_norm<4, layer>, grid, stream, op, scales);
  } else if (held <= 8) {
    launch("add_norm", add_norm<8, layer>, grid, stream, op, scales);
  } else {
    static_assert(16 * 4 * kThreads == kMostNormCols);
    launch("add_norm", add_norm<16, layer>, grid, stream, op, scales);
  }
}

}  // namespace

bool leaves_scales(const AddNorm& op) {
  return op.norm.kind == NormKind::Rms && op.y.type == DType::BF16 && op.y && op.weight && !op.bias && op.cols <= kMostScaledCols;
}

RowScales finish_scales(const RowScales& squares, int rows, cudaStream_t stream) {
  constexpr int kAligned = 4;  // floats, as scales are copied
  constexpr int kRows = kThreads / kWarp;
  const size_t count = size_t(rows) * parts_of(squares.cols);
  float* scales = squares.values + (count + kAligned - 1) / kAligned * kAligned;
  launch("scales", add_squares, {.blocks = dim3((rows + kRows - 1) / kRows), .threads = kThreads}, stream, squares, rows, scales);
  return {.values = scales};
}

void run(const AddNorm& op, cudaStream_t stream, float* scales) {
  if (op.rows == 0) return;
  (op.norm.kind == NormKind::Layer ? run_held<true> : run_held<false>)(op, stream, scales);
}

}  // namespace kvasir::cuda
