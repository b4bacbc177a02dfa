// qk_rope_append: see ops/qk_rope_append.h; of few tokens a matmul may make it (matmul_rope.cuh). A warp has a head of a token, of 256
// tokens and more some: q heads, then k heads, then v heads. Order of a norm: lane i sums the squares of the dimensions i mod 32,
// ascending, then the lanes pairwise. Limited by latency: what depends on the step's inputs alone is done before the kernel before has
// ended, and the rest in shared memory, so that a warp waits for memory once. Of many tokens by instructions, most of them sines, which a
// token's heads share.
#include "cuda/kernels.h"
#include "cuda/kernels/barrier.cuh"
#include "cuda/kernels/kv.cuh"
#include "cuda/kernels/launch.h"
#include "cuda/kernels/rope.cuh"
#include "cuda/kernels/warp.cuh"

namespace kvasir::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kManyTokens = 256, kManyHeads = 4;  // of so many tokens: heads of a warp

__device__ void center_head(float* head, int size) {
  float sum = 0;
  for (int i = threadIdx.x % kWarp; i < size; i += kWarp) sum += head[i];
  const float mean = warp_sum(sum) / static_cast<float>(size);
  for (int i = threadIdx.x % kWarp; i < size; i += kWarp) head[i] -= mean;
}

__device__ void copy_head(const float* from, float* to, int size) {
  for (int i = threadIdx.x % kWarp; i < size; i += kWarp) to[i] = from[i];
  __syncwarp();
}

__device__ void norm_head(float* head, const float* weight, int size, const Norm& norm) {
  if (norm.kind == NormKind::Layer) center_head(head, size);
  const float scale = norm_scale(head, size, norm.epsilon);
  for (int i = threadIdx.x % kWarp; i < size; i += kWarp) head[i] = head[i] * scale * weight[i];
  __syncwarp();
}

__device__ void grow_head(float* head, const QueryGrowth& by, int position, int size) {
  if (by.growth == 0) return;
  const float factor = 1.0f + by.growth * log1pf(static_cast<float>(position / by.context));
  for (int i = threadIdx.x % kWarp; i < size; i += kWarp) head[i] *= factor;
}

__device__ void rotate_pair(float* head, const Rope& rope, int pair, Rotation by) {
  float *a = head + (rope.interleaved ? 2 * pair : pair), *b = head + (rope.interleaved ? 2 * pair + 1 : pair + rope.pairs);
  const float x = *a, y = *b;
  *a = first_rotated(x, y, by), *b = second_rotated(x, y, by);
}

// The rotations of a lane's first pairs, made before the kernel before has ended.
constexpr int kEarly = 2;
using Rotations = Rotation[kEarly];

__device__ void prepare(const Rope& rope, int position, Rotations& early) {
#pragma unroll
  for (int i = 0; i < kEarly; ++i) {
    const int pair = threadIdx.x % kWarp + i * kWarp;
    if (pair < rope.pairs) early[i] = rotation_of(rope, position, pair);
  }
}

__device__ void rotate_head(float* head, const Rope& rope, int position, const Rotations& early) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int i = 0; i < kEarly; ++i) {
    if (lane + i * kWarp < rope.pairs) rotate_pair(head, rope, lane + i * kWarp, early[i]);
  }
  for (int pair = lane + kEarly * kWarp; pair < rope.pairs; pair += kWarp) {
    rotate_pair(head, rope, pair, rotation_of(rope, position, pair));
  }
  __syncwarp();
}

template <class Element, class Place>
__device__ void append_head(const float* head, Element* to, const KvLayer& cache, int position, const Place& place) {
  for (int d = threadIdx.x % kWarp; d < cache.head_size; d += kWarp) put(to + place(cache, position, d), head[d]);
}

// A head of a token: of q, k or v, by its number among them all.
struct Head {
  const View& values;
  const View* norm;  // null: v is neither normed nor turned
  int index;

  __device__ Head(const QkRopeAppend& op, int number)
      : values(number < op.query_heads                       ? op.q
               : number < op.query_heads + op.cache.kv_heads ? op.k
                                                             : op.v),
        norm(&values == &op.q   ? &op.q_norm
             : &values == &op.k ? &op.k_norm
                                : nullptr),
        index(number < op.query_heads ? number : (number - op.query_heads) % op.cache.kv_heads) {}
};

template <class Element>
__global__ void qk_rope_append(const __grid_constant__ QkRopeAppend op, const int32_t* row_of_token, const int32_t* positions,
                               PageTables tables, int tokens, int heads_of_warp) {
  extern __shared__ float shared[];  // of each warp its head, and the weight of its norm
  let_next_kernel_start();
  const int heads = op.query_heads + 2 * op.cache.kv_heads, warps = (heads - 1) / heads_of_warp + 1, D = op.cache.head_size;
  const int64_t number = int64_t(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  const int token = static_cast<int>(number / warps), first = static_cast<int>(number % warps) * heads_of_warp;
  const int row = token < tokens ? row_of_token[token] : -1;
  if (row < 0) return wait_for_kernel_before();  // padding
  const int position = positions[token];
  const int64_t page = page_of(tables, row, position, op.cache.page_size);
  float *own = shared + threadIdx.x / kWarp * 2 * D, *weight = own + D;
  Rotations early;
  prepare(op.rope, position, early);
  for (int i = first; i < min(first + heads_of_warp, heads); ++i) {
    const Head head(op, i);
    const bool normed = head.norm != nullptr && head.norm->data != nullptr;
    if (normed) copy_head(row_of(*head.norm, head.index), weight, D);
    if (i == first) wait_for_kernel_before();
    float* values = row_of(head.values, token) + int64_t(head.index) * D;
    copy_head(values, own, D);
    if (normed) norm_head(own, weight, D, op.norm);
    if (head.norm != nullptr) rotate_head(own, op.rope, position, early);
    if (&head.values == &op.q) {
      grow_head(own, op.query_growth, position, D);
      copy_head(own, values, D);
    } else if (&head.values == &op.k) {
      append_head(own, head_of<Element>(op.cache.k, op.cache, page, head.index), op.cache, position, key_place);
    } else {
      append_head(own, head_of<Element>(op.cache.v, op.cache, page, head.index), op.cache, position, value_place);
    }
    __syncwarp();  // all have read what the next head takes the place of
  }
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
    launch("qk_rope_append", qk_rope_append<decltype(element)>, grid, stream, op, step.row_of_token, step.positions, step.tables[op.group],
           step.tokens, heads_of_warp);
  });
}

}  // namespace kvasir::cuda
