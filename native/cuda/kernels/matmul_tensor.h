#pragma once
// Packed weights times bfloat16 tokens on the tensor cores.
#include "cuda/kernels.h"
#include "cuda/kernels/formats.cuh"
#include "cuda/kernels/matmul_launch.cuh"

namespace kvasir::cuda {

// Whether all weights are packed, compute is bf16, and x is bfloat16 in whole tiles.
bool can_run_tensor(const Matmul& op);
void run_tensor(const Matmul& op, const Norms& norms, const MatmulMemory& memory, cudaStream_t stream);

// Whether gate and up are multiplied together: not where a block's shared memory doesn't hold the rings of both.
bool fuses_gate(const Matmul& op);

// mma.sync, every architecture. gate_fits: whether a block's shared memory holds the rings of gate and up.
bool gate_fits(DType type);
void multiply_narrow(DType type, bool gated, const Launch& launch, cudaStream_t stream);
// wgmma: Hopper, K in whole chunks.
void multiply_wide(DType type, bool gated, const Launch& launch, cudaStream_t stream);
// The same, for tiles of 128 rows and 128 tokens or more, if they keep all multiprocessors busy; multiply_wide hands them on.
inline constexpr int kPromptTokens = 128, kPromptPanels = 8;
inline int prompt_tiles(int rows, int panels, bool gated) {
  const int panels_of_tile = gated ? kPromptPanels / 2 : kPromptPanels;
  return (panels + panels_of_tile - 1) / panels_of_tile * ((rows + kPromptTokens - 1) / kPromptTokens);
}
inline bool is_prompt(int rows, int panels, bool gated) {
  return rows > 64 && prompt_tiles(rows, panels, gated) >= 100;
}
void multiply_prompt(DType type, bool gated, const Launch& launch, cudaStream_t stream);
// Clusters of two by two tiles of 192 tokens that the device holds at once.
int prompt_clusters_bf16();
// By such tiles, of weights that lie in bfloat16; others are unpacked first. False: it would take longer, or there is no memory for that;
// nothing was launched.
bool multiply_prompt_bf16(DType type, bool gated, Launch launch, cudaStream_t stream);
// Makes the launch's weights bfloat16, in its scratch. False: there is not so much memory.
bool unpack_panels(DType type, bool gated, Launch& launch, cudaStream_t stream);

template <class Function>
void with_packed_type(DType type, const Function& f) {
  with_type(type, [&](auto constant) {
    if constexpr (is_packed(constant)) f(constant);
  });
}

}  // namespace kvasir::cuda
