#pragma once
// Panels of weights times rows of x, in tiles of registers.
//
// dense weights: a register tile of rows times panels runs over all of k; few rows take several panels, for enough independent sums.
// quantized, float32: a chunk of k of the panel is unpacked into an L1 tile, then multiplied with tiles of rows; partial sums wait in y.
// quantized, int8: a tile of rows runs over the whole panel, whose levels are unpacked in registers.
// Where there is AMX: matmul_amx.h, for int8 of many rows and for pairs.
#include <bit>
#include <utility>

#include "cpu/kernels/matmul_amx.h"
#include "cpu/kernels/matmul_x.h"
#include "cpu/kernels/tiles.h"
#include "cpu/kernels/unpack.h"
#include "cpu/packed_weight.h"

namespace kvasir::cpu::KVASIR_ISA {
namespace {

constexpr int kChunk = 256;  // k of an unpacked tile: 16 KiB, half of the smallest L1

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

// Panels [first, last) of a projection, all rows.
using PanelKernel = void (*)(const Job&, const Projection&, const PackedWeight&, int first, int last);

template <template <int> class RowsOf>
void dense_panels(const Job& job, const Projection& out, const PackedWeight& weight, int first, int last) {
  const auto bytes = static_cast<int64_t>(weight.panel_bytes);
  for_row_tiles<kTileRows>(job.rows, [&](auto R, int row) {
    constexpr int P = R() < 4 ? 4 / R() : 1;
    const RowsOf<R()> x(job, row);
    const auto fetch = [&](int end) { return row == 0 && end <= weight.panels(); };  // the other tiles of rows find panels in L2
    int panel = first;
    for (; panel + P <= last; panel += P) dense_tile<P>(x, out, weight.panel(panel), bytes, fetch(panel + 2 * P), row, panel * 16);
    for (; panel < last; ++panel) dense_tile<1>(x, out, weight.panel(panel), bytes, fetch(panel + 2), row, panel * 16);
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
  if constexpr (kHasTiles) {
    if (job.tiles) return level_panels<F>(job, out, weight, first, last);
  }
  for (int panel = first; panel < last; ++panel) {
    for_row_tiles<kTileRows>(job.rows, [&](auto R, int row) {
      const bool fetch = row == 0 && panel + 1 < weight.panels();
      const uint8_t* next = fetch ? weight.panel(panel + 1) : nullptr;
      int8_tile<F, R()>(job, out, weight.panel(panel), next, row, panel * 16);
    });
  }
}

PanelKernel panel_kernel(DType type, Compute compute) {
  return with_format(type, [&](auto format) -> PanelKernel {
    using F = decltype(format);
    if constexpr (has_levels(F::kType)) {
      return compute == Compute::INT8 ? int8_panels<F> : f32_panels<F>;
    } else if constexpr (is_quantized(F::kType)) {
      return f32_panels<F>;
    } else if (takes_pairs(type, compute)) {
      if constexpr (kHasTiles) return pair_panels<BF16>;
      return dense_panels<PairedRows>;
    } else {
      return dense_panels<DenseRowsOf<F>::template Rows>;
    }
  });
}

}  // namespace
}  // namespace kvasir::cpu::KVASIR_ISA
