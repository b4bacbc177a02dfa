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

// From so many rows on AMX multiplies levels faster than VNNI: of 16 rows, unpacking takes longer than the product. The bits are the same.
constexpr int kTileLevelsFrom = 32;

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

// The same of 16 rows, as AMX takes them. Sums are scaled, those of 16 k each after that of all.
struct alignas(64) XTile {
  int8_t levels[kLanes][quant::kBlock];
  float scale[kLanes];
  float minus_sums[3][kLanes];
};

struct Job {
  const float* x;        // [rows, K], rounded to bfloat16 if so asked
  int64_t stride;        // of x
  const int32_t* pairs;  // [rows, pair_stride] in the order of pair_place: two bfloat16 numbers each, 0 beyond K; or null
  int64_t pair_stride;
  const XBlock* blocks;  // [rows, K / 32], or null
  const XTile* tiles;    // [rows / 16, K / 32], or null
  int rows;
};

// Where a row's pair of the even k lies. Tiles of 16 rows of 16 pairs are in one piece each, ascending in k.
constexpr int kPairedK = kHasTiles ? 32 : 2;  // that lie side by side
KVASIR_INLINE int64_t pair_place(int64_t row, int64_t k, int64_t stride) {
  if constexpr (!kHasTiles) return row * stride + k / 2;
  return row / 16 * 16 * stride + k / 32 * 256 + row % 16 * 16 + k % 32 / 2;
}

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

// Fetches a part of the panel that is multiplied next into L2. By itself a core looks ahead by a few hundred instructions, which is nothing
// where several rows are multiplied with each vector of weights: without, the time to read and the time to multiply add up.
KVASIR_INLINE void prefetch(const uint8_t* place, int bytes) {
  constexpr int kLine = 64;  // bytes of a cache line
  for (int i = 0; i < bytes; i += kLine) __builtin_prefetch(place + i, 0, 2);
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

void prepare_tiles(const Matmul& op, Context context, Job& job) {
  const int64_t blocks = op.outputs[0].weight->cols / quant::kBlock, row_tiles = (op.rows + kLanes - 1) / kLanes;
  XTile* target = reinterpret_cast<XTile*>(context.scratch.reserve(row_tiles * blocks * sizeof(XTile)));
  for_x_rows(op, context, [&](int64_t row) {
    const int64_t r = row % kLanes;
    for (int64_t b = 0; b < blocks; ++b) {
      const XBlock block = quantize(row_of(op.x, row) + b * quant::kBlock);
      XTile& tile = target[row / kLanes * blocks + b];
      std::memcpy(tile.levels[r], block.levels, sizeof(block.levels));
      tile.scale[r] = block.scale;
      tile.minus_sums[0][r] = block.scale * static_cast<float>(block.minus_sum);
      for (int half = 0; half < 2; ++half) tile.minus_sums[1 + half][r] = block.scale * static_cast<float>(block.minus_half_sums[half]);
    }
  });
  job.tiles = target;
}

// As float32 numbers for weights of any type, and as pairs for those that take them.
void prepare_bf16(const Matmul& op, Context context, Job& job) {
  const int K = op.outputs[0].weight->cols;
  const bool pairs = any_weight(op, [](const Weight& weight) { return takes_pairs(weight.type, weight.compute); });
  const bool floats = any_weight(op, [](const Weight& weight) { return !takes_pairs(weight.type, weight.compute); });
  const int64_t pair_stride = pairs ? (K + kPairedK - 1) / kPairedK * (kPairedK / 2) : 0, stride = floats ? K : 0;
  const int64_t pair_rows = kHasTiles ? (op.rows + 15) / 16 * 16 : op.rows;
  int32_t* paired = reinterpret_cast<int32_t*>(context.scratch.reserve((pair_rows * pair_stride + op.rows * stride) * sizeof(float)));
  float* wide = reinterpret_cast<float*>(paired) + pair_rows * pair_stride;
  for_x_rows(op, context, [&](int64_t row) {
    if (pairs) std::memset(paired + pair_place(row, (K - 1) / kPairedK * kPairedK, pair_stride), 0, kPairedK * sizeof(uint16_t));
    for_vectors(0, K, [&](int64_t k, int lanes) {
      const f32x16 x = load_lanes(row_of(op.x, row) + k, lanes);
      if (floats) store_lanes(wide + row * stride + k, bf16_rounded(x), lanes);
      if (pairs) store_bf16_lanes(paired + pair_place(row, k, pair_stride), x, lanes);
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
  if (compute == Compute::INT8 && quantized) {
    if (kHasTiles && op.rows >= kTileLevelsFrom) {
      prepare_tiles(op, context, job);
    } else {
      prepare_blocks(op, context, job);
    }
  }
  if (compute == Compute::BF16) prepare_bf16(op, context, job);
  return job;
}

}  // namespace
}  // namespace kvasir::cpu::KVASIR_ISA
