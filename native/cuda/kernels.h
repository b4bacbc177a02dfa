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
void run(const Matmul& op, cudaStream_t stream);
void run(const QkRopeAppend& op, cudaStream_t stream);
void run(const ScaleLogits& op, cudaStream_t stream);

}  // namespace kvasir::cuda
