// matmul: see ops/matmul.h. The plain kernel, for every type and compute: the reference that faster ones are compared with.
//
// A warp makes one output n of up to kRows rows of x: lane i multiplies the elements k = i mod 32, ascending, one accumulator a row; the
// lanes are then summed pairwise. So a result's order depends on K alone. Weights are read once for kRows rows.
// Bytes: N * row_bytes * ceil(rows / kRows), plus x from L2 for each n. Limited by the width of its loads (1 or 2 bytes a lane).
#include "cuda/kernels.h"
#include "cuda/kernels/formats.cuh"
#include "cuda/kernels/warp.cuh"

namespace kvasir::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kRows = 8;

__device__ inline float bf16_rounded(float x) {
  unsigned bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return x;  // NaN
  bits += 0x7fffu + (bits >> 16 & 1);
  return __uint_as_float(bits & 0xffff0000u);
}

template <DType type, bool round>
__global__ void multiply(WeightRows weight, View x, View bias, View y, int rows) {
  const int n = blockIdx.x * kWarps + threadIdx.x / kWarp, lane = threadIdx.x % kWarp, first = blockIdx.y * kRows;
  if (n >= weight.rows) return;
  const uint8_t* row = weight.data + n * weight.row_bytes;
  const int count = min(kRows, rows - first);
  float sums[kRows] = {};
  for (int k = lane; k < weight.cols; k += kWarp) {
    const float w = element<type>(row, k);
    for (int r = 0; r < kRows; ++r) {
      if (r >= count) break;
      const float value = row_of(x, first + r)[k];
      sums[r] = fmaf(w, round ? bf16_rounded(value) : value, sums[r]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    const float sum = warp_sum(sums[r]);
    if (r < count && lane == 0) row_of(y, first + r)[n] = bias.data ? sum + static_cast<const float*>(bias.data)[n] : sum;
  }
}

__device__ inline float activate(Activation activation, float x) {
  if (activation == Activation::Silu) return x / (1.0f + expf(-x));
  const float cubic = fmaf(x * x * x, 0.044715f, x);
  return x / (1.0f + expf(-1.5957691216057308f * cubic));  // (1 + tanh(u)) / 2 is the logistic function of 2 u
}

__global__ void multiply_gate(Activation activation, View gate, View up, int cols) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= cols) return;
  float* place = row_of(gate, blockIdx.y) + i;
  *place = activate(activation, *place) * row_of(up, blockIdx.y)[i];
}

}  // namespace

void run(const Matmul& op, cudaStream_t stream) {
  if (op.rows == 0) return;
  for (const Projection& out : op.outputs) {
    if (out.weight == nullptr) break;
    const WeightRows weight = rows_of(*out.weight);
    const dim3 grid((weight.rows + kWarps - 1) / kWarps, (op.rows + kRows - 1) / kRows);
    with_type(weight.type, [&](auto type) {
      if (out.weight->compute == Compute::F32) {
        multiply<type, false><<<grid, kWarps * kWarp, 0, stream>>>(weight, op.x, out.bias, out.y, op.rows);
      } else {
        multiply<type, true><<<grid, kWarps * kWarp, 0, stream>>>(weight, op.x, out.bias, out.y, op.rows);
      }
    });
    check_launch("matmul");
  }
  if (!op.gate) return;
  const int cols = op.outputs[0].weight->rows;
  multiply_gate<<<dim3((cols + 255) / 256, op.rows), 256, 0, stream>>>(*op.gate, op.outputs[0].y, op.outputs[1].y, cols);
  check_launch("matmul's gate");
}

}  // namespace kvasir::cuda
