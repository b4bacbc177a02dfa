// matmul: see ops/matmul.h. Which kernel multiplies follows from the weights alone, never from the number of rows.
//
// plain   every type and compute, float32 products: the reference (packed weights have scales as they are kept). A warp makes one output n
//         of up to kPlainRows rows of x: lane i multiplies the elements k = i mod 32, ascending, one accumulator a row; the lanes are then
//         summed pairwise.
// tensor  cuda/kernels/matmul_tensor.cu: packed weights, compute bf16. The same of a weight may go to kernels for few or many tokens: their bits
//         are equal.
#include "cuda/kernels.h"
#include "cuda/kernels/activations.cuh"
#include "cuda/kernels/barrier.cuh"
#include "cuda/kernels/formats.cuh"
#include "cuda/kernels/gate.cuh"
#include "cuda/kernels/launch.h"
#include "cuda/kernels/matmul_tensor.h"
#include "cuda/kernels/row_scales.cuh"
#include "cuda/kernels/warp.cuh"

namespace kvasir::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kPlainRows = 8;

template <DType type, bool round>
__global__ void multiply(WeightView weight, View x, RowScales scales, View bias, View y, int rows) {
  wait_in_turn();
  const int n = blockIdx.x * kWarps + threadIdx.x / kWarp, lane = threadIdx.x % kWarp, first = blockIdx.y * kPlainRows;
  if (n >= weight.rows) return;
  const int count = min(kPlainRows, rows - first);
  float sums[kPlainRows] = {};
  for (int k = lane; k < weight.cols; k += kWarp) {
    const float w = element<type>(weight, n, k);
    for (int r = 0; r < kPlainRows; ++r) {
      if (r >= count) break;
      const float value = load(x, first + r, k);
      sums[r] = fmaf(w, round ? __bfloat162float(__float2bfloat16_rn(value)) : value, sums[r]);
    }
  }
  for (int r = 0; r < kPlainRows; ++r) {
    if (r >= count) break;
    const float sum = __fmul_rn(warp_sum(sums[r]), RowScale(scales, first + r, rows).get());
    if (lane == 0) store(y, first + r, n, bias.data ? sum + static_cast<const float*>(bias.data)[n] : sum);
  }
}

constexpr int kElements = 256;  // of a block

// f(row, column) of this thread's element of an output of `cols` columns.
template <class Function>
__device__ inline void for_element(int cols, const Function& f) {
  const unsigned blocks = (cols + kElements - 1) / kElements;  // of a row
  const int row = static_cast<int>(blockIdx.x / blocks), col = static_cast<int>(blockIdx.x % blocks) * kElements + threadIdx.x;
  if (col < cols) f(row, col);
}

__global__ void multiply_gate(Activation activation, View gate, View up, int cols) {
  wait_in_turn();
  for_element(cols, [&](int row, int col) { store(gate, row, col, activate(activation, load(gate, row, col)) * load(up, row, col)); });
}

__global__ void apply_activation(Activation activation, View y, int cols) {
  wait_in_turn();
  for_element(cols, [&](int row, int col) { store(y, row, col, activate(activation, load(y, row, col))); });
}

// An element of the first output for each thread. Along x alone: y has fewer blocks than a step may have tokens.
Grid grid_of_elements(const Matmul& op) {
  const unsigned blocks_of_row = (op.outputs[0].weight->rows + kElements - 1) / kElements;
  return {.blocks = dim3(blocks_of_row * op.rows), .threads = kElements};
}

void run_plain(const Matmul& op, const RowScales& scales, cudaStream_t stream) {
  for (const Projection& out : op.outputs) {
    if (out.weight == nullptr) break;
    const WeightView weight = view_of(*out.weight);
    const Grid grid{.blocks = dim3((weight.rows + kWarps - 1) / kWarps, (op.rows + kPlainRows - 1) / kPlainRows),
                    .threads = kWarps * kWarp};
    with_type(weight.type, [&](auto type) {
      const auto kernel = out.weight->compute == Compute::F32 ? multiply<type, false> : multiply<type, true>;
      launch("matmul", kernel, grid, stream, weight, op.x, scales, out.bias, out.y, op.rows);
    });
  }
}

}  // namespace

void run(const Matmul& op, cudaStream_t stream, const Norms& norms, const MatmulMemory& memory) {
  if (op.rows == 0) return;
  if (can_run_tensor(op)) {
    run_tensor(op, norms, memory, stream);
  } else {
    run_plain(op, norms.scales, stream);
  }
  const Projection& first = op.outputs[0];
  const int cols = first.weight->rows;
  if (op.epilogue == Epilogue::Gate && !fuses_gate(op)) {
    launch("matmul's gate", multiply_gate, grid_of_elements(op), stream, op.activation, first.y, op.outputs[1].y, cols);
  } else if (op.epilogue == Epilogue::Activate) {
    launch("matmul's activation", apply_activation, grid_of_elements(op), stream, op.activation, first.y, cols);
  }
}

}  // namespace kvasir::cuda
