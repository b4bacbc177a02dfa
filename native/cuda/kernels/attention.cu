// attention: see ops/attention.h. The plain kernel: one warp a query, for every head size, type of cache and device that attention_tensor.h
// doesn't take.
//
// Keys come in tiles of 32 whose borders are multiples of 32 in absolute positions, one key a lane: each lane sums its key's products in
// ascending d; the softmax runs online over tiles; then the lanes share out the dimensions and sum the tile's values in ascending position.
// So the bits depend on the query and the cache alone. Limited by latency and by reading each key once for every query of a group.
#include "cuda/kernels.h"
#include "cuda/kernels/activations.cuh"
#include "cuda/kernels/attention_tensor.h"
#include "cuda/kernels/barrier.cuh"
#include "cuda/kernels/gate.cuh"
#include "cuda/kernels/kv.cuh"
#include "cuda/kernels/launch.h"
#include "cuda/kernels/warp.cuh"

namespace kvasir::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kMostDims = kMostHeadSize / kWarp;  // of a lane

template <class Element>
__global__ void attention(Attention op, const int32_t* row_of_token, const int32_t* positions, PageTables tables, int tokens) {
  extern __shared__ float shared[];
  wait_in_turn();
  const int D = op.cache.head_size, P = op.cache.page_size, lane = threadIdx.x % kWarp;
  float* q = shared + threadIdx.x / kWarp * D;
  const int64_t index = int64_t(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  const int token = static_cast<int>(index / op.query_heads), head = static_cast<int>(index % op.query_heads);
  if (token >= tokens || row_of_token[token] < 0) return;
  const int row = row_of_token[token], position = positions[token], kv_head = head / (op.query_heads / op.cache.kv_heads);
  const float* from = row_of(op.q, token) + int64_t(head) * D;
  for (int d = lane; d < D; d += kWarp) q[d] = from[d] * op.scale;
  __syncwarp();
  const int first = first_seen(op.window, position);
  float largest = -INFINITY, total = 0, sums[kMostDims] = {};
  for (int tile = first / kWarp * kWarp; tile <= position; tile += kWarp) {
    const int key = tile + lane;
    float score = -INFINITY;
    if (key >= first && key <= position) {
      const Element* k = head_of<Element>(op.cache.k, op.cache, page_of(tables, row, key, P), kv_head);
      score = 0;
      for (int d = 0; d < D; ++d) score = fmaf(q[d], to_float(k[key_place(op.cache, key, d)]), score);
      if (op.softcap > 0) score = soft_cap(score, op.softcap);
    }
    const float before = largest;
    largest = fmaxf(largest, warp_max(score));
    const float rescale = before == largest ? 1.0f : expf(before - largest);
    const float weight = score == -INFINITY ? 0.0f : expf(score - largest);
    total = total * rescale + warp_sum(weight);
    for (int i = 0; i < kMostDims && i * kWarp < D; ++i) sums[i] *= rescale;
    for (int j = 0; j < kWarp; ++j) {
      const float w = __shfl_sync(0xffffffffu, weight, j);
      const int seen = tile + j;
      if (seen < first || seen > position) continue;
      const Element* v = head_of<Element>(op.cache.v, op.cache, page_of(tables, row, seen, P), kv_head);
      for (int i = 0; i < kMostDims && i * kWarp < D; ++i) {
        if (i * kWarp + lane < D) sums[i] = fmaf(w, to_float(v[value_place(op.cache, seen, i * kWarp + lane)]), sums[i]);
      }
    }
  }
  for (int i = 0; i < kMostDims && i * kWarp < D; ++i) {
    if (i * kWarp + lane < D) store(op.out, token, int64_t(head) * D + i * kWarp + lane, sums[i] / total);
  }
}

}  // namespace

// Not where its blocks begin when the projections have ended: what they would prepare before takes longer than a kernel of its own.
bool makes_rope(const Attention& op, const QkRopeAppend& rope) {
  const bool is_before = rope.step == op.step && rope.q.data == op.q.data && rope.cache.k.data == op.cache.k.data;
  return is_before && can_run_tensor(op) && is_decode(*op.step) && has_few_warps(op);
}

void run(const Attention& op, cudaStream_t stream, const QkRopeAppend* rope) {
  const StepInputs& step = *op.step;
  const int64_t queries = int64_t(step.tokens) * op.query_heads;
  if (queries == 0) return;
  if (can_run_tensor(op)) return run_tensor(op, rope, stream);
  const Grid grid{.blocks = dim3(static_cast<unsigned>((queries + kWarps - 1) / kWarps)),
                  .threads = kWarps * kWarp,
                  .shared = kWarps * op.cache.head_size * sizeof(float)};
  with_element(op.cache.k.type, [&](auto element) {
    launch("attention", attention<decltype(element)>, grid, stream, op, step.row_of_token, step.positions, step.tables[op.group],
           step.tokens);
  });
}

}  // namespace kvasir::cuda
