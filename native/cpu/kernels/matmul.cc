// matmul: see ops/matmul.h. One task is some panels of 16 outputs of one projection, for all rows.
//
// dense weights: a register tile of rows times panels runs over all of k; few rows take several panels, for enough independent sums.
// quantized, float32: a chunk of k of the panel is unpacked into an L1 tile, then multiplied with tiles of rows; partial sums wait in y.
// quantized, int8: x is rounded once; a tile of rows runs over the whole panel, whose levels are unpacked in registers.
#include "ops/matmul.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "cpu/kernels.h"
#include "cpu/kernels/activation.h"
#include "cpu/kernels/rows.h"
#include "cpu/kernels/tiles.h"
#include "cpu/kernels/unpack.h"
#include "cpu/memory.h"
#include "cpu/packed_weight.h"

namespace kvasir::cpu::KVASIR_ISA {
namespace {

// Beside each, other values and their relative speeds (bench:compare -- HEAD): decode at batch 1 on two EPYC cores, 135M q8_0 (kSerialWork: tales).
constexpr int kChunk = 256;                 // k of an unpacked tile: 16 KiB, half of the smallest L1
constexpr int kLine = 64;                   // bytes of a cache line
constexpr int64_t kTaskBytes = 64 << 10;    // of weights; 16, 256 KiB: 0.88, 1.04, but that leaves few tasks to many cores
constexpr int64_t kSerialWork = 256 << 10;  // bytes of weights times rows, below: one thread; 2 MiB: 0.75

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

// y[row][n .. n + 16) of a register tile: the bias is added last.
template <int R>
KVASIR_INLINE void store_tile(const f32x16 (&sums)[R], const Projection& out, int first_row, int n) {
  const int width = least(16, out.weight->rows - n);
  const f32x16 bias = out.bias ? load_part(row_of(out.bias, 0) + n, width) : zeros();
  for (int r = 0; r < R; ++r) store_part(row_of(out.y, first_row + r) + n, out.bias ? sums[r] + bias : sums[r], width);
}

// Levels of group j times x, in all rows of the tile.
template <class F, int R, int j>
KVASIR_INLINE void dot_group(i32x16 (&dots)[R], const uint8_t* quants, const XBlock* x, int64_t stride) {
  const u8x64 levels = F::template group<j>(quants);
  for (int r = 0; r < R; ++r) dots[r] = F::dot(dots[r], levels, x[r * stride].levels + 4 * j);
}

// The part of a block that shares scale `part`: its groups of 4 k, then one multiply-add a row, and one for its min.
template <class F, int R, int part>
KVASIR_INLINE void add_part(f32x16 (&sums)[R], const uint8_t* quants, const Scales& scales, const XBlock* x, int64_t stride) {
  const auto minus_sum = [&](int r) { return F::kScales == 1 ? x[r * stride].minus_sum : x[r * stride].minus_half_sums[part]; };
  i32x16 dots[R];
  for (int r = 0; r < R; ++r) {
    // Offsets are powers of two (or none): a broadcast load and a shift, where a product would go through a scalar register.
    dots[r] = F::kDotOffset == 0 ? splat_i32(0)
                                 : shift_left_i32<std::countr_zero(static_cast<unsigned>(most(1, F::kDotOffset)))>(splat_i32(minus_sum(r)));
  }
  [&]<int... j>(std::integer_sequence<int, j...>) {
    (dot_group<F, R, part * 4 + j>(dots, quants, x, stride), ...);
  }
  (std::make_integer_sequence<int, 8 / F::kScales>());
  for (int r = 0; r < R; ++r) sums[r] = fma(to_f32(dots[r]), scales.scale[part] * splat(x[r * stride].scale), sums[r]);
  if constexpr (F::kMin) {
    for (int r = 0; r < R; ++r) {
      sums[r] = fma(scales.min[part], splat(x[r * stride].scale * static_cast<float>(minus_sum(r))), sums[r]);
    }
  }
}

// Fetches a part of the panel that is multiplied next into L2. By itself a core looks ahead by a few hundred instructions, which is nothing
// where several rows are multiplied with each vector of weights: without, the time to read and the time to multiply add up.
KVASIR_INLINE void prefetch(const uint8_t* place, int bytes) {
  for (int i = 0; i < bytes; i += kLine) __builtin_prefetch(place + i, 0, 2);
}

// `next`: the panel to fetch meanwhile, if any.
template <class F, int R>
void int8_tile(const Job& job, const Projection& out, const uint8_t* panel, const uint8_t* next, int first_row, int n) {
  const int blocks = out.weight->cols / quant::kBlock;
  const Panel from = sections<F>(panel, out.weight->cols);
  const XBlock* x = job.blocks + static_cast<int64_t>(first_row) * blocks;
  f32x16 sums[R];
  for (int r = 0; r < R; ++r) sums[r] = zeros();
  for (int block = 0; block < blocks; ++block) {
    const Scales scales = F::scales(from, block);
    const uint8_t* quants = from.quants + static_cast<int64_t>(block) * kQuantBytes<F>;
    if (next) prefetch(next + block * kBlockBytes<F>, kBlockBytes<F>);
    add_part<F, R, 0>(sums, quants, scales, x + block, blocks);
    if constexpr (F::kScales == 2) add_part<F, R, 1>(sums, quants, scales, x + block, blocks);
  }
  store_tile(sums, out, first_row, n);
}

// Sums over k in [first, first + count), continued from y unless first is 0, and left there unless it ends with K.
template <int R>
void f32_tile(const Job& job, const Projection& out, const float* tile, int first, int count, int first_row, int n) {
  const int width = least(16, out.weight->rows - n);
  const float* x = job.x + first_row * job.stride + first;
  float* y = row_of(out.y, first_row) + n;
  f32x16 sums[R];
  for (int r = 0; r < R; ++r) sums[r] = first == 0 ? zeros() : load_part(y + r * out.y.stride, width);
  for (int k = 0; k < count; ++k) {
    const f32x16 weights = load(tile + k * 16);
    for (int r = 0; r < R; ++r) sums[r] = fma(splat(x[r * job.stride + k]), weights, sums[r]);
  }
  if (first + count == out.weight->cols) return store_tile(sums, out, first_row, n);
  for (int r = 0; r < R; ++r) store_part(y + r * out.y.stride, sums[r], width);
}

// The j-th k of a group times x, in all rows of the tile.
template <class F, int R, int j>
KVASIR_INLINE void add_k(f32x16 (&sums)[R], const uint8_t* group, const float* x, int64_t stride) {
  const f32x16 weights = F::template load16<j>(group);
  for (int r = 0; r < R; ++r) sums[r] = fma(splat(x[r * stride + j]), weights, sums[r]);
}

// Dense weights, float32 products, which of bfloat16 numbers are exact.
template <class Format, int R>
struct DenseRows {
  using F = Format;
  static constexpr int kRows = R;

  DenseRows(const Job& job, int first_row) : x(job.x + first_row * job.stride), stride(job.stride) {}

  // Adds `count` k of a group, the first of which is k.
  template <int count>
  KVASIR_INLINE void add(f32x16 (&sums)[R], const uint8_t* group, int k) const {
    [&]<int... j>(std::integer_sequence<int, j...>) {
      (add_k<F, R, j>(sums, group, x + k, stride), ...);
    }
    (std::make_integer_sequence<int, count>());
  }

  const float* x;
  int64_t stride;
};

// bfloat16 weights, two products at a time by the processor's own instruction.
template <int R>
struct PairedRows {
  using F = BF16;
  static constexpr int kRows = R;

  PairedRows(const Job& job, int first_row) : x(job.pairs + first_row * job.pair_stride), stride(job.pair_stride) {}

  template <int>
  KVASIR_INLINE void add(f32x16 (&sums)[R], const uint8_t* group, int k) const {
    const i32x16 weights = load_i32(group);
    for (int r = 0; r < R; ++r) sums[r] = dot_bf16(sums[r], weights, x[r * stride + k / 2]);
  }

  const int32_t* x;
  int64_t stride;
};

// P panels at once; the P behind them are fetched meanwhile if `fetch`.
template <int P, class Rows>
void dense_tile(const Rows& x, const Projection& out, const uint8_t* panel, int64_t panel_bytes, bool fetch, int first_row, int n) {
  using F = typename Rows::F;
  const int K = out.weight->cols;
  f32x16 sums[P][Rows::kRows];
  for (int p = 0; p < P; ++p) {
    for (int r = 0; r < Rows::kRows; ++r) sums[p][r] = zeros();
  }
  int k = 0;
  for (; k + F::kGroup <= K; k += F::kGroup) {
    for (int p = 0; p < P; ++p) {
      const uint8_t* group = panel + p * panel_bytes + static_cast<int64_t>(k) / F::kGroup * kGroupBytes<F>;
      if (fetch) prefetch(group + P * panel_bytes, kGroupBytes<F>);
      x.template add<F::kGroup>(sums[p], group, k);
    }
  }
  if (k < K) {
    for (int p = 0; p < P; ++p)
      x.template add<1>(sums[p], panel + p * panel_bytes + static_cast<int64_t>(k) / F::kGroup * kGroupBytes<F>, k);
  }
  for (int p = 0; p < P; ++p) store_tile(sums[p], out, first_row, n + p * 16);
}

template <class F>
struct DenseRowsOf {
  template <int R>
  using Rows = DenseRows<F, R>;
};

// Whether x is multiplied as pairs of bfloat16 numbers.
bool takes_pairs(DType type, Compute compute) {
  return kHasBf16Dot && type == DType::BF16 && compute == Compute::BF16;
}

// Panels [first, last) of a projection, all rows.
using PanelKernel = void (*)(const Job&, const Projection&, const PackedWeight&, int first, int last);

template <template <int> class RowsOf>
void dense_panels(const Job& job, const Projection& out, const PackedWeight& weight, int first, int last) {
  const auto bytes = static_cast<int64_t>(weight.panel_bytes);
  for_row_tiles<kTileRows>(job.rows, [&](auto R, int row) {
    constexpr int P = R() < 4 ? 4 / R() : 1;
    const RowsOf<R()> x(job, row);
    int panel = first;
    for (; panel + P <= last; panel += P) dense_tile<P>(x, out, weight.panel(panel), bytes, row == 0, row, panel * 16);
    for (; panel < last; ++panel) dense_tile<1>(x, out, weight.panel(panel), bytes, row == 0, row, panel * 16);
  });
}

template <class F>
void f32_panels(const Job& job, const Projection& out, const PackedWeight& weight, int first, int last) {
  alignas(64) float buffer[kChunk * 16];
  const int K = weight.cols;
  for (int panel = first; panel < last; ++panel) {
    for (int k = 0; k < K; k += kChunk) {
      const int count = least(kChunk, K - k);
      unpack<F>(weight.panel(panel), K, k, count, buffer);
      for_row_tiles<kTileRows>(job.rows, [&](auto R, int row) { f32_tile<R()>(job, out, buffer, k, count, row, panel * 16); });
    }
  }
}

template <class F>
void int8_panels(const Job& job, const Projection& out, const PackedWeight& weight, int first, int last) {
  for (int panel = first; panel < last; ++panel) {
    for_row_tiles<kTileRows>(job.rows, [&](auto R, int row) {
      const uint8_t* next = row == 0 ? weight.panel(panel + 1) : nullptr;  // the other tiles find this one in L2
      int8_tile<F, R()>(job, out, weight.panel(panel), next, row, panel * 16);
    });
  }
}

PanelKernel panel_kernel(DType type, Compute compute) {
  return with_format(type, [&](auto format) -> PanelKernel {
    using F = decltype(format);
    if constexpr (is_quantized(F::kType)) {
      return compute == Compute::INT8 ? int8_panels<F> : f32_panels<F>;
    } else if (takes_pairs(type, compute)) {
      return dense_panels<PairedRows>;
    } else {
      return dense_panels<DenseRowsOf<F>::template Rows>;
    }
  });
}

bool any_weight(const Matmul& op, auto&& is) {
  return std::any_of(op.outputs.begin(), op.outputs.end(), [&](const Projection& out) { return out.weight && is(*out.weight); });
}

// Calls round(row) for each row of x: they are shared out where there are enough of them.
void for_x_rows(const Matmul& op, Context context, auto&& round) {
  for_items(context.threads, op.rows, op.outputs[0].weight->cols, round);
}

void round_to_blocks(const Matmul& op, Context context, Job& job) {
  const int64_t blocks = op.outputs[0].weight->cols / quant::kBlock;
  XBlock* target = reinterpret_cast<XBlock*>(context.scratch.reserve(op.rows * blocks * sizeof(XBlock)));
  for_x_rows(op, context, [&](int64_t row) {
    for (int64_t b = 0; b < blocks; ++b) target[row * blocks + b] = quantize(row_of(op.x, row) + b * quant::kBlock);
  });
  job.blocks = target;
}

// As float32 numbers for weights of any type, and as pairs for those that take them.
void round_to_bf16(const Matmul& op, Context context, Job& job) {
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
  const bool quantized = any_weight(op, [](const Weight& weight) { return is_quantized(weight.type); });
  if (compute == Compute::INT8 && quantized) round_to_blocks(op, context, job);
  if (compute == Compute::BF16) round_to_bf16(op, context, job);
  return job;
}

// What is done to y of the first output. In pieces, so that one row has work for all threads, too.
void apply_epilogue(const Matmul& op, Threads& threads) {
  const int64_t N = op.outputs[0].weight->rows, pieces = (N + kTaskElements - 1) / kTaskElements;
  for_items(threads, op.rows * pieces, least(N, kTaskElements), [&](int64_t item) {
    const int64_t row = item / pieces, first = item % pieces * kTaskElements;
    const int count = static_cast<int>(least(N - first, kTaskElements));
    float* y = row_of(op.outputs[0].y, row) + first;
    if (op.epilogue == Epilogue::Activate) return apply_activation(op.activation, y, count);
    multiply_gate(op.activation, y, row_of(op.outputs[1].y, row) + first, count);
  });
}

// One projection's panels, in tasks of `grain` panels; tasks of all projections are numbered one after the other.
struct Part {
  PanelKernel kernel;
  const PackedWeight* weight;
  int64_t grain;
  int64_t tasks;
};

Part make_part(const Projection& out, int threads) {
  const auto* weight = static_cast<const PackedWeight*>(out.weight);
  const int64_t panels = weight->panels(), most_panels = most<int64_t>(1, panels / (4 * threads));
  const int64_t grain = least(most_panels, most<int64_t>(1, kTaskBytes / static_cast<int64_t>(weight->panel_bytes)));
  return {panel_kernel(weight->type, weight->compute), weight, grain, (panels + grain - 1) / grain};
}

void run_task(const Job& job, const Projection& out, const Part& part, int64_t task) {
  const int64_t first = task * part.grain, last = least<int64_t>(part.weight->panels(), first + part.grain);
  part.kernel(job, out, *part.weight, static_cast<int>(first), static_cast<int>(last));
}

}  // namespace

void run(const Matmul& op, Context context) {
  if (op.rows == 0) return;
  Part parts[Matmul::kMostOutputs];
  int64_t tasks = 0, work = 0;
  for (int i = 0; i < Matmul::kMostOutputs && op.outputs[i].weight; ++i) {
    parts[i] = make_part(op.outputs[i], context.threads.count());
    tasks += parts[i].tasks;
    work += static_cast<int64_t>(parts[i].weight->bytes) * op.rows;
  }
  const Job job = prepare(op, context);
  const auto multiply = [&](int64_t task, int) {
    int i = 0;
    for (; task >= parts[i].tasks; ++i) task -= parts[i].tasks;
    run_task(job, op.outputs[i], parts[i], task);
  };
  if (work >= kSerialWork) {
    context.threads.parallel(tasks, multiply);
  } else {
    for (int64_t task = 0; task < tasks; ++task) multiply(task, 0);
  }
  if (op.epilogue != Epilogue::None) apply_epilogue(op, context.threads);
}

}  // namespace kvasir::cpu::KVASIR_ISA
