#pragma once
// Attention on the tensor cores.
#include <cuda_runtime.h>

#include "ops/attention.h"

namespace kvasir::cuda {

// Whether out is bfloat16 (compute bf16), the cache has 16 bits and pages of 16, and the head size is one that a kernel is made for.
bool can_run_tensor(const Attention& op);
void run_tensor(const Attention& op, cudaStream_t stream);

}  // namespace kvasir::cuda
