#pragma once
// The launches of the ops on a stream. A row's bits never depend on the other rows: each kernel states its order of accumulation.
#include <cuda_runtime.h>

#include "ops/op.h"

namespace kvasir::cuda {

// The most that kernels take.
inline constexpr int kMostNormCols = 16384;  // of add_norm: a block holds a row in registers
inline constexpr int kMostHeadSize = 1024;   // of attention: a warp holds a query's sums in registers

void run(const AddNorm& op, cudaStream_t stream);
void run(const Attention& op, cudaStream_t stream);
void run(const Embed& op, cudaStream_t stream);
void run(const GatherRows& op, cudaStream_t stream);
// With `add`, instead of y the sum of the add_norm that follows: x += delta_scale * y; its norm is left.
void run(const Matmul& op, cudaStream_t stream, const AddNorm* add = nullptr);
// Whether a matmul may be asked to, and of which.
bool can_add(const Matmul& op);
bool can_add(const Matmul& op, const AddNorm& add);
void run(const QkRopeAppend& op, cudaStream_t stream);
void run(const ScaleLogits& op, cudaStream_t stream);

}  // namespace kvasir::cuda
