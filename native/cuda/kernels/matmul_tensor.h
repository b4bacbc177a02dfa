#pragma once
// Packed weights times bfloat16 tokens on the tensor cores.
#include <cuda_runtime.h>

#include "ops/matmul.h"

namespace kvasir::cuda {

// Whether all weights are packed, compute is bf16, and x is bfloat16 in rows of whole 16 bytes.
bool can_run_tensor(const Matmul& op);
void run_tensor(const Matmul& op, cudaStream_t stream);

}  // namespace kvasir::cuda
