// qk_rope_append: see ops/qk_rope_append.h; in decode attention may make it (attention_few.cu). A warp has a head of a token, of 256 tokens
// and more some: q heads, then k heads, then v heads. Limited by latency: what depends on the step's inputs alone is done before the kernel
// before has ended, and a warp waits for memory once. Of many tokens by instructions, most of them sines, which a token's heads share.
#include <type_traits>

#include "cuda/kernels.h"
#include "cuda/kernels/barrier.cuh"
#include "cuda/kernels/launch.h"
#include "cuda/kernels/rope.cuh"

namespace kvasir::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kManyTokens = 256, kManyHeads = 4;  // of so many tokens: heads of a warp

template <class Element, int shares>
__global__ void qk_rope_append(const __grid_constant__ QkRopeAppend op, const int32_t* row_of_token, const int32_t* positions,
                               PageTables tables, int tokens, int heads_of_warp) {
  extern __shared__ __align__(8) float shared[];  // of each warp its head, and the rotations of its token
  let_next_kernel_start();
  const int heads = op.query_heads + 2 * op.cache.kv_heads, warps = (heads - 1) / heads_of_warp + 1, D = op.cache.head_size;
  const int64_t number = int64_t(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  const int token = static_cast<int>(number / warps), first = static_cast<int>(number % warps) * heads_of_warp;
  const int row = token < tokens ? row_of_token[token] : -1;
  if (row < 0) return wait_for_kernel_before();  // padding
  const int position = positions[token];
  const int64_t page = page_of(tables, row, position, op.cache.page_size);
  float* own = shared + threadIdx.x / kWarp * 2 * D;
  auto* rotations = reinterpret_cast<Rotation*>(own + D);
  for (int pair = threadIdx.x % kWarp; pair < op.rope.pairs; pair += kWarp) {
    rotations[pair] = rotation_of(op.rope, position, static_cast<const float*>(op.rope.frequencies.data)[pair]);
  }
  const bool grows = op.query_growth.growth != 0;
  const float growth = grows ? growth_at(op.query_growth, position) : 1.0f;
  for (int i = first; i < min(first + heads_of_warp, heads); ++i) {
    const HeadKind kind = i < op.query_heads ? HeadKind::Query : i < op.query_heads + op.cache.kv_heads ? HeadKind::Key : HeadKind::Value;
    const int index = kind == HeadKind::Query ? i : (i - op.query_heads) % op.cache.kv_heads;
    const Head head = head_of_token(op, kind, token, index, D);
    float x[shares], weight[shares];
    if (head.weight) each_dimension<shares>(D, [&](int d, int j) { weight[j] = head.weight[d]; });
    if (i == first) wait_for_kernel_before();
    each_dimension<shares>(D, [&](int d, int j) { x[j] = head.values[d]; });
    if (head.weight) norm_head(x, weight, D, op.norm);
    if (kind != HeadKind::Value) {
      each_dimension<shares>(D, [&](int d, int j) { own[d] = x[j]; });
      __syncwarp();
      rotate_head(x, own, op.rope, rotations);
      __syncwarp();  // all have read what the next head takes the place of
    }
    if (kind == HeadKind::Query) {
      each_dimension<shares>(D, [&](int d, int j) { head.values[d] = grows ? x[j] * growth : x[j]; });
    } else if (kind == HeadKind::Key) {
      auto* to = head_of<Element>(op.cache.k, op.cache, page, index);
      each_dimension<shares>(D, [&](int d, int j) { put(to + key_place(op.cache, position, d), x[j]); });
    } else {
      auto* to = head_of<Element>(op.cache.v, op.cache, page, index);
      each_dimension<shares>(D, [&](int d, int j) { put(to + value_place(op.cache, position, d), x[j]); });
    }
  }
}

// f(shares) for heads of such a size.
template <class Function>
void with_shares(int head_size, const Function& f) {
  if (head_size <= 4 * kWarp) return f(std::integral_constant<int, 4>());
  if (head_size <= 8 * kWarp) return f(std::integral_constant<int, 8>());
  f(std::integral_constant<int, kMostHeadSize / kWarp>());
}

}  // namespace

void run(const QkRopeAppend& op, cudaStream_t stream) {
  const StepInputs& step = *op.step;
  if (step.tokens == 0) return;
  const int heads = op.query_heads + 2 * op.cache.kv_heads, heads_of_warp = step.tokens >= kManyTokens ? kManyHeads : 1;
  const int64_t warps = int64_t(step.tokens) * ((heads - 1) / heads_of_warp + 1);
  const Grid grid{.blocks = dim3(static_cast<unsigned>((warps + kWarps - 1) / kWarps)),
                  .threads = kWarps * kWarp,
                  .shared = kWarps * 2 * op.cache.head_size * sizeof(float)};
  with_element(op.cache.k.type, [&](auto element) {
    with_shares(op.cache.head_size, [&](auto shares) {
      launch("qk_rope_append", qk_rope_append<decltype(element), shares>, grid, stream, op, step.row_of_token, step.positions,
             step.tables[op.group], step.tokens, heads_of_warp);
    });
  });
}

}  // namespace kvasir::cuda
