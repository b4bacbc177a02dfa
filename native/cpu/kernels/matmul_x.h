#pragma once
// x of a matmul as its weights' arithmetic takes it: rounded once a call, by all threads.
#include <algorithm>

#include "cpu/kernels.h"
#include "cpu/kernels/rows.h"
#include "cpu/memory.h"
#include "ops/matmul.h"
#include "quant/pack.h"

namespace kvasir::cpu::KVASIR_ISA {
namespace {

// Whether x is multiplied as pairs of bfloat16 numbers.
bool takes_pairs(DType type, Compute compute) {
  return kHasBf16Dot && type == DType::BF16 && compute == Compute::BF16;
}

// 32 elements of a row of x as levels, with what undoes the offsets of the weights.
struct XBlock {
  int8_t levels[quant::kBlock];
  float scale;
  int32_t minus_sum;
  int32_t minus_half_sums[2];
};

struct Job {
  const float* x;        // [rows, K], rounded to bfloat16 if so asked
  int64_t stride;        // of x
  const int32_t* pairs;  // [rows, pair_stride] two bfloat16 numbers each, the second of an odd last one 0; or null
  int64_t pair_stride;
  const XBlock* blocks;  // [rows, K / 32], or null
  int rows;
};

XBlock quantize(const float* x) {
  XBlock block;
  const f32x16 lo = load(x), hi = load(x + 16);
  // The largest magnitude compared as integers: a NaN is the largest, and goes on through the scale.
  const i32x16 magnitude = splat_i32(0x7fffffff);
  const int32_t largest_bits = largest(max(bits(lo) & magnitude, bits(hi) & magnitude));
  float amax;
  std::memcpy(&amax, &largest_bits, 4);
  block.scale = amax / 127;
  const f32x16 inverse = splat(amax > 0 ? 127 / amax : 0);
  store_i8(block.levels, to_i32(lo * inverse));
  store_i8(block.levels + 16, to_i32(hi * inverse));
  // Of what was stored: where x is NaN the levels mean nothing, but their sums still fit.
  block.minus_half_sums[0] = -sum(load_i8(block.levels));
  block.minus_half_sums[1] = -sum(load_i8(block.levels + 16));
  block.minus_sum = block.minus_half_sums[0] + block.minus_half_sums[1];
  return block;
}

bool any_weight(const Matmul& op, auto&& is) {
  return std::any_of(op.outputs.begin(), op.outputs.end(), [&](const Projection& out) { return out.weight && is(*out.weight); });
}

// Calls round(row) for each row of x: they are shared out where there are enough of them.
void for_x_rows(const Matmul& op, Context context, auto&& round) {
  for_items(context.threads, op.rows, op.outputs[0].weight->cols, round);
}

void prepare_blocks(const Matmul& op, Context context, Job& job) {
  const int64_t blocks = op.outputs[0].weight->cols / quant::kBlock;
  XBlock* target = reinterpret_cast<XBlock*>(context.scratch.reserve(op.rows * blocks * sizeof(XBlock)));
  for_x_rows(op, context, [&](int64_t row) {
    for (int64_t b = 0; b < blocks; ++b) target[row * blocks + b] = quantize(row_of(op.x, row) + b * quant::kBlock);
  });
  job.blocks = target;
}

// As float32 numbers for weights of any type, and as pairs for those that take them.
void prepare_bf16(const Matmul& op, Context context, Job& job) {
  const int K = op.outputs[0].weight->cols;
  const bool pairs = any_weight(op, [](const Weight& weight) { return takes_pairs(weight.type, weight.compute); });
  const bool floats = any_weight(op, [](const Weight& weight) { return !takes_pairs(weight.type, weight.compute); });
  const int64_t pair_stride = pairs ? (K + 1) / 2 : 0, stride = floats ? K : 0;
  int32_t* paired = reinterpret_cast<int32_t*>(context.scratch.reserve(op.rows * (pair_stride + stride) * sizeof(float)));
  float* wide = reinterpret_cast<float*>(paired) + op.rows * pair_stride;
  for_x_rows(op, context, [&](int64_t row) {
    if (pairs) paired[(row + 1) * pair_stride - 1] = 0;
    for_vectors(0, K, [&](int64_t k, int lanes) {
      const f32x16 x = load_lanes(row_of(op.x, row) + k, lanes);
      if (floats) store_lanes(wide + row * stride + k, bf16_rounded(x), lanes);
      if (pairs) store_bf16_lanes(paired + row * pair_stride + k / 2, x, lanes);
    });
  });
  job.pairs = paired;
  job.pair_stride = pair_stride;
  job.x = wide;
  job.stride = stride;
}

// Rounds x as the weights' compute asks, into scratch.
Job prepare(const Matmul& op, Context context) {
  const Compute compute = op.outputs[0].weight->compute;
  Job job{};
  job.x = row_of(op.x, 0);
  job.stride = op.x.stride;
  job.rows = op.rows;
  const bool quantized = any_weight(op, [](const Weight& weight) { return has_levels(weight.type); });
  if (compute == Compute::INT8 && quantized) prepare_blocks(op, context, job);
  if (compute == Compute::BF16) prepare_bf16(op, context, job);
  return job;
}

}  // namespace
}  // namespace kvasir::cpu::KVASIR_ISA
