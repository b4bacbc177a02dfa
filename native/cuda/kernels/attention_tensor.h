#pragma once
// Attention on the tensor cores, over caches of 16 or 8 bits in pages of 16: for rows with few tokens and for rows with many.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <type_traits>
#include <utility>

#include "ops/attention.h"
#include "ops/qk_rope_append.h"

namespace kvasir::cuda {

// Rows of up to so many tokens go to attend_few.
inline constexpr int kFewTokens = 16;

// Of the step's arrays, those that attention reads.
struct StepView {
  const int32_t* row_of_token;
  const int32_t* positions;
  const int32_t* q_indptr;
  const int32_t* starts;
};

inline StepView view_of(const StepInputs& step) {
  return {step.row_of_token, step.positions, step.q_indptr, step.starts};
}

// Whether no row has more than one token.
inline bool is_decode(const StepInputs& step) {
  return step.tokens <= step.rows;
}

// Whether the kernels are made for this cache, these sizes and this device.
bool can_run_tensor(const Attention& op);
// With `rope`, of a decode step: also the qk_rope_append before it.
void run_tensor(const Attention& op, const QkRopeAppend* rope, cudaStream_t stream);

// Shared memory of a block: of Hopper at most, and what it has.
inline constexpr size_t kHopperShared = 227 << 10;
size_t shared_of_few(const Attention& op);
size_t shared_of_many(const Attention& op);

// Each for the rows that are its own; the other rows' results stay. `rope`: of a decode step, made, too (q, k, v and weights of norms at
// multiples of 16 bytes).
void attend_few(const Attention& op, const QkRopeAppend* rope, cudaStream_t stream);
// Whether its blocks find room beside those of the kernel before.
bool has_few_warps(const Attention& op);
void attend_many(const Attention& op, cudaStream_t stream);
// As attend_many, by wgmma.
void attend_prompt(const Attention& op, cudaStream_t stream);

// The sizes of heads that models have, as far as the models run here (each costs 0.4 MB of machine code). Any multiple of 16 up to 256 will
// do that shared memory has room for.
using TensorSizes = std::integer_sequence<int, 64, 80, 96, 128, 160, 256>;

// f(head size) where it is one of these; says whether it is.
template <int... sizes, class Function>
bool with_tensor_size(std::integer_sequence<int, sizes...>, int head_size, const Function& f) {
  return ((head_size == sizes && (f(std::integral_constant<int, sizes>()), true)) || ...);
}

inline bool has_tensor_size(int head_size) {
  return with_tensor_size(TensorSizes(), head_size, [](auto) {});
}

// f(element, head size) of a cache for which can_run_tensor.
template <class Function>
void with_tensor_shape(const Attention& op, const Function& f) {
  const auto with_size = [&](auto element) { with_tensor_size(TensorSizes(), op.cache.head_size, [&](auto size) { f(element, size); }); };
  if (op.cache.k.type == DType::F16) return with_size(__half());
  if (op.cache.k.type == DType::BF16) return with_size(__nv_bfloat16());
  with_size(__nv_fp8_e4m3());
}

}  // namespace kvasir::cuda
