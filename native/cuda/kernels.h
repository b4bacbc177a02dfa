#pragma once
// The launches of the ops on a stream. A row's bits never depend on the other rows: each kernel states its order of accumulation.
#include <cuda_runtime.h>

#include "ops/op.h"

namespace kvasir::cuda {

class Scratch;

// The most that kernels take.
inline constexpr int kMostNormCols = 16384;   // of add_norm: a block holds a row in registers
inline constexpr int kMostHeadSize = 1024;    // of attention: a warp holds a query's sums in registers
inline constexpr int kMostScaledCols = 8192;  // of an add_norm that leaves its scales to the matmuls that read it
inline constexpr int kFewRows = 16;           // of a matmul for few tokens, which reads sums of squares itself

// Columns whose squares are summed together, and how many such parts a row has.
inline constexpr int kPartCols = 16;
__host__ __device__ constexpr int parts_of(int cols) {
  return (cols + kPartCols - 1) / kPartCols;
}

// Room for sums of squares and the scales behind them: these are aligned, and a tile's are read together, those beyond the last row, too.
constexpr size_t floats_of_scales(int rows, int cols) {
  constexpr int kTile = 128;
  return size_t(rows) * parts_of(cols) + (rows + 2 * kTile - 1) / kTile * kTile;
}

// Scales of the rows of a matmul's x, which its sums are multiplied by (cuda/kernels/row_scales.cuh).
struct RowScales {
  float* values = nullptr;  // [rows]; none: all are 1
  int cols = 0;             // > 0: values are sums of squares instead, [rows, parts of cols], of a norm of so many columns
  float epsilon = 0;        // of that norm
};

// What a matmul takes on of the norms around it.
struct Norms {
  RowScales scales = {};         // of x
  const AddNorm* add = nullptr;  // instead of y the sum of the add_norm that follows: x += delta_scale * y
  RowScales left = {};           // with values: its y, too, but for these
};

// Where blocks that share a matmul's k leave their sums for each other (kernels/matmul_split.cuh). A stream's own: its launches are one
// after the other.
struct SplitSums {
  static constexpr int kMostTileTokens = 8192;  // of all tiles of 128 rows: eight ranges' sums of each in float32 are 32 MiB
  static constexpr int kMostPanels = 2048;
  static constexpr size_t kSumBytes = size_t(kMostTileTokens) * 128 * 8 * sizeof(float),
                          kBytes = kSumBytes + kMostPanels * sizeof(uint32_t);

  float4* sums = nullptr;       // none: nothing is shared
  uint32_t* arrived = nullptr;  // of each panel, how many warps have left sums; 0 between launches

  SplitSums() = default;
  // In kBytes of zeros.
  explicit SplitSums(void* place)
      : sums(static_cast<float4*>(place)), arrived(reinterpret_cast<uint32_t*>(static_cast<uint8_t*>(place) + kSumBytes)) {}
};

// What a stream's matmuls have beside their operands.
struct MatmulMemory {
  SplitSums split = {};
  Scratch* scratch = nullptr;  // none: nothing is unpacked
};

// With `scales`: those of the rows, [rows], which y is left without.
void run(const AddNorm& op, cudaStream_t stream, float* scales = nullptr);
// The scales of so many rows of sums of squares, behind which they come to lie.
RowScales finish_scales(const RowScales& squares, int rows, cudaStream_t stream);
// Whether an op of a step does so: always or never, whatever the rows. Its y of 16 bits is read by matmuls alone.
bool leaves_scales(const AddNorm& op);
// With `rope`, which it makes (makes_rope): also the qk_rope_append before it, but for what that would leave in q.
void run(const Attention& op, cudaStream_t stream, const QkRopeAppend* rope = nullptr);
// Whether an attention makes the qk_rope_append right before it.
bool makes_rope(const Attention& op, const QkRopeAppend& rope);
void run(const Embed& op, cudaStream_t stream);
void run(const GatherRows& op, cudaStream_t stream);
void run(const Matmul& op, cudaStream_t stream, const Norms& norms = {}, const MatmulMemory& memory = {});
// Whether a matmul may make the sum of an add_norm that follows it.
bool can_add(const Matmul& op);
// Such a matmul, and whatever add_norm follows it; `scales` are those of the matmul's x. Gives the scales that the norm leaves: they lie in
// `left`, floats_of_scales() of its rows and columns.
RowScales run(const Matmul& op, const AddNorm& norm, cudaStream_t stream, const RowScales& scales, float* left, const MatmulMemory& memory);
void run(const QkRopeAppend& op, cudaStream_t stream);
void run(const ScaleLogits& op, cudaStream_t stream);

}  // namespace kvasir::cuda
