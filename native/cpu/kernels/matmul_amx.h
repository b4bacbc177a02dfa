#pragma once
// Panels of weights times tiles of 16 rows of x by AMX: c [16 rows, 16 outputs] += a [16, k] * b [k, 16], where b is a piece of a panel
// as it lies in memory (quant/pack.h). Sums wait in y between chunks of k, so that a chunk of x and of some panels is read from L1 and L2.
//
// bfloat16  32 k a product, of 16 cycles; the loads of its share of 2 x 2 tiles take 16 too, beside it.
// levels    32 k a product, or 16 where these share a scale. Sums are exact, so the bits are those of VNNI. A panel's levels are made
//           signed bytes once for all rows. Each of a product's 256 sums is scaled and added to one in a register: 3 or 4 operations of a
//           vector for a row of x, 24 to 32 cycles, which limits it.
#include <utility>

#include "cpu/amx.h"
#include "cpu/kernels/matmul_x.h"
#include "cpu/kernels/unpack.h"
#include "cpu/packed_weight.h"

namespace kvasir::cpu::KVASIR_ISA {
namespace {

constexpr int kPairChunk = 512;   // k of bfloat16 weights: 32 KiB of two tiles of rows
constexpr int kPairBytes = 1024;  // of 32 k of a panel
constexpr int kLevelChunk = 32;   // blocks of 32 k: 16 KiB of levels

// Calls f(i) for i of [0, count), as constants.
template <int count>
KVASIR_INLINE void for_constants(auto&& f) {
  [&]<int... i>(std::integer_sequence<int, i...>) {
    (f(std::integral_constant<int, i>()), ...);
  }
  (std::make_integer_sequence<int, count>());
}

// The 16 x 16 of y that a tile of sums stands for, or what there is of them.
struct Place {
  Place(const Projection& out, int all_rows, int row, int n)
      : y(row_of(out.y, row) + n),
        bias(out.bias ? row_of(out.bias, 0) + n : nullptr),
        stride(out.y.stride),
        rows(least(kLanes, all_rows - row)),
        width(least(kLanes, out.weight->rows - n)) {}

  bool whole() const { return rows == kLanes && width == kLanes; }

  float* y;
  const float* bias;
  int64_t stride;
  int rows, width;
};

KVASIR_INLINE void load_sums(f32x16 (&sums)[kLanes], const Place& from) {
#pragma GCC unroll 16
  for (int r = 0; r < kLanes; ++r) sums[r] = r < from.rows ? load_part(from.y + r * from.stride, from.width) : zeros();
}

// The bias is added last.
KVASIR_INLINE void store_sums(const f32x16 (&sums)[kLanes], const Place& to, bool last) {
  const bool biased = last && to.bias;
  const f32x16 bias = biased ? load_part(to.bias, to.width) : zeros();
#pragma GCC unroll 16
  for (int r = 0; r < kLanes; ++r) {
    if (r < to.rows) store_part(to.y + r * to.stride, biased ? sums[r] + bias : sums[r], to.width);
  }
}

template <int tile>
KVASIR_INLINE void load_sums(const Place& from) {
  if (from.whole()) return load_tile<tile>(from.y, from.stride * sizeof(float));
  f32x16 sums[kLanes];
  load_sums(sums, from);
  load_tile<tile>(sums, sizeof(f32x16));
}

template <int tile>
KVASIR_INLINE void store_sums(const Place& to, bool last) {
  if (to.whole() && !(last && to.bias)) return store_tile<tile>(to.y, to.stride * sizeof(float));
  f32x16 sums[kLanes];
  store_tile<tile>(sums, sizeof(f32x16));
  store_sums(sums, to, last);
}

constexpr TileShapes tile_shapes(int row_bytes_of_a, int rows_of_b) {
  TileShapes shapes;
  for (int tile = 0; tile < 4; ++tile) shapes.set(tile, kLanes, 64);
  for (int tile = 4; tile < 6; ++tile) shapes.set(tile, kLanes, row_bytes_of_a);
  for (int tile = 6; tile < 8; ++tile) shapes.set(tile, rows_of_b, 64);
  return shapes;
}

// A chunk of k of bfloat16 weights.
struct PairChunk {
  int first, count;  // k
  bool last;
};

// T tiles of rows from `row` on times P panels. Sums are tiles 0 to 3, of x 4 and 5, of weights 6 and 7.
template <int T, int P>
void multiply_pairs(const Job& job, const Projection& out, const PackedWeight& weight, PairChunk chunk, int row, int panel) {
  const auto place = [&](int t, int p) { return Place(out, job.rows, row + t * kLanes, (panel + p) * kLanes); };
  const auto multiply = [&](const int32_t* x, const uint8_t* b, int64_t panel_bytes) {
    for_constants<T>([&](auto t) { load_tile<4 + t>(x + t * kLanes * job.pair_stride, 64); });
    for_constants<P>([&](auto p) {
      load_tile<6 + p % 2>(b + p * panel_bytes, 64);
      for_constants<T>([&](auto t) { multiply_bf16<t * P + p, 4 + t, 6 + p % 2>(); });
    });
  };
  for_constants<T * P>([&](auto i) { chunk.first == 0 ? zero_tile<i>() : load_sums<i>(place(i / P, i % P)); });
  const int32_t* x = job.pairs + pair_place(row, chunk.first, job.pair_stride);
  const auto panel_bytes = static_cast<int64_t>(weight.panel_bytes);
  const uint8_t* b = weight.panel(panel) + static_cast<int64_t>(chunk.first / 32) * kPairBytes;
  const bool fetch = row == 0 && panel + 2 * P <= weight.panels();  // other rows find panels in L2
  const int whole = chunk.count / 32, rest = (chunk.count % 32 + 1) / 2 * 64;
  for (int i = 0; i < whole; ++i, x += kPairBytes / 4, b += kPairBytes) {
    if (fetch) {
      for (int p = 0; p < P; ++p) prefetch(b + (P + p) * panel_bytes, kPairBytes);
    }
    multiply(x, b, panel_bytes);
  }
  if (rest > 0) {
    alignas(64) uint8_t ends[P][kPairBytes] = {};  // what lies behind is another panel
    for (int p = 0; p < P; ++p) std::memcpy(ends[p], b + p * panel_bytes, static_cast<size_t>(rest));
    multiply(x, ends[0], kPairBytes);
  }
  for_constants<T * P>([&](auto i) { store_sums<i>(place(i / P, i % P), chunk.last); });
}

template <class F>
void pair_panels(const Job& job, const Projection& out, const PackedWeight& weight, int first, int last) {
  static_assert(kPairBytes == 32 / F::kGroup * kGroupBytes<F>);
  static constexpr TileShapes kShapes = tile_shapes(64, 16);
  const TilesInUse tiles(kShapes);
  const int K = weight.cols, step = job.rows > 2 * kLanes ? kPairChunk : K;
  for (int k = 0; k < K; k += step) {
    const PairChunk chunk{k, least(step, K - k), k + step >= K};
    int row = 0;
    for (; job.rows - row > kLanes; row += 2 * kLanes) {
      int panel = first;
      for (; panel + 2 <= last; panel += 2) multiply_pairs<2, 2>(job, out, weight, chunk, row, panel);
      if (panel < last) multiply_pairs<2, 1>(job, out, weight, chunk, row, panel);
    }
    if (row >= job.rows) continue;
    int panel = first;
    for (; panel + 4 <= last; panel += 4) multiply_pairs<1, 4>(job, out, weight, chunk, row, panel);
    for (; panel < last; ++panel) multiply_pairs<1, 1>(job, out, weight, chunk, row, panel);
  }
}

// Some blocks of a panel, unpacked for all rows.
struct LevelChunk {
  alignas(64) int8_t levels[kLevelChunk][quant::kBlock * kLanes];  // less their offset, in the order of a panel
  Scales scales[kLevelChunk];
  int first, count;  // blocks
  bool last;
};

// `next`: the panel to fetch meanwhile, if any.
template <class F>
void unpack_levels(const uint8_t* panel, const uint8_t* next, int cols, LevelChunk& chunk) {
  const Panel from = sections<F>(panel, cols);
  for (int i = 0; i < chunk.count; ++i) {
    const int block = chunk.first + i;
    if (next) prefetch(next + static_cast<int64_t>(block) * kBlockBytes<F>, kBlockBytes<F>);
    const uint8_t* quants = from.quants + static_cast<int64_t>(block) * kQuantBytes<F>;
    for_constants<8>([&](auto j) { store_bytes(chunk.levels[i] + 64 * j, F::template group<j>(quants) - splat_bytes(F::kOffset)); });
    chunk.scales[i] = F::scales(from, block);
  }
}

// The product of a block, or of the part of it that shares a scale, as integers in a tile.
template <class F, int turn>
KVASIR_INLINE void multiply_piece(const LevelChunk& chunk, const XTile* x, int piece) {
  constexpr int kBytes = quant::kBlock / F::kScales;
  const int block = piece / F::kScales, part = piece % F::kScales;
  zero_tile<turn>();
  load_tile<4 + turn>(x[block].levels[0] + part * kBytes, quant::kBlock);
  load_tile<6 + turn>(chunk.levels[block] + part * kBytes * kLanes, 64);
  multiply_i8<turn, 4 + turn, 6 + turn>();
}

// Scales it and adds it to what came before.
template <class F, int turn>
KVASIR_INLINE void add_piece(f32x16 (&sums)[kLanes], const LevelChunk& chunk, const XTile* x, int piece, const int32_t* dots) {
  constexpr int part = F::kScales == 1 ? 0 : turn;
  const Scales& scales = chunk.scales[piece / F::kScales];
  const XTile& of = x[piece / F::kScales];
  const float* minus_sums = of.minus_sums[F::kScales == 1 ? 0 : 1 + part];
#pragma GCC unroll 16
  for (int r = 0; r < kLanes; ++r) {
    const f32x16 dot = to_f32(load_i32(reinterpret_cast<const uint8_t*>(dots + r * kLanes)));
    sums[r] = fma(dot, scales.scale[part] * splat(of.scale[r]), sums[r]);
    if constexpr (F::kMin) sums[r] = fma(scales.min[part], splat(minus_sums[r]), sums[r]);
  }
}

// The chunk times 16 rows of x, of which `x` are the same blocks. A product takes 52 cycles, and what stands behind the store that waits
// for it doesn't begin (45 cycles a piece in a loop by hand): it is stored when the next one has begun, and added when that one is stored.
template <class F>
void multiply_levels(const LevelChunk& chunk, const XTile* x, const Place& place) {
  alignas(64) int32_t dots[2][kLanes * kLanes];
  f32x16 sums[kLanes];
#pragma GCC unroll 16
  for (int r = 0; r < kLanes; ++r) sums[r] = zeros();
  if (chunk.first > 0) load_sums(sums, place);
  const int pieces = chunk.count * F::kScales;
  multiply_piece<F, 0>(chunk, x, 0);
  for (int piece = 0; piece < pieces; piece += 2) {
    const bool two = piece + 1 < pieces;
    if (two) multiply_piece<F, 1>(chunk, x, piece + 1);
    store_tile<0>(dots[0], 64);
    if (piece > 0) add_piece<F, 1>(sums, chunk, x, piece - 1, dots[1]);
    if (piece + 2 < pieces) multiply_piece<F, 0>(chunk, x, piece + 2);
    if (two) store_tile<1>(dots[1], 64);
    add_piece<F, 0>(sums, chunk, x, piece, dots[0]);
  }
  if (pieces % 2 == 0) add_piece<F, 1>(sums, chunk, x, pieces - 1, dots[1]);
  store_sums(sums, place, chunk.last);
}

template <class F>
void level_panels(const Job& job, const Projection& out, const PackedWeight& weight, int first, int last) {
  static constexpr TileShapes kShapes = tile_shapes(quant::kBlock / F::kScales, 8 / F::kScales);
  const TilesInUse tiles(kShapes);
  const int blocks = weight.cols / quant::kBlock;
  LevelChunk chunk;
  for (int block = 0; block < blocks; block += kLevelChunk) {
    chunk.first = block;
    chunk.count = least(kLevelChunk, blocks - block);
    chunk.last = block + kLevelChunk >= blocks;
    for (int panel = first; panel < last; ++panel) {
      const uint8_t* next = panel + 1 < weight.panels() ? weight.panel(panel + 1) : nullptr;
      unpack_levels<F>(weight.panel(panel), next, weight.cols, chunk);
      for (int row = 0; row < job.rows; row += kLanes) {
        const XTile* x = job.tiles + static_cast<int64_t>(row / kLanes) * blocks + block;
        multiply_levels<F>(chunk, x, Place(out, job.rows, row, panel * kLanes));
      }
    }
  }
}

}  // namespace
}  // namespace kvasir::cpu::KVASIR_ISA
