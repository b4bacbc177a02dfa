// attention of rows with many tokens (prompts): see attention_state.cuh for the order of sums.
//
// A block has some tokens of the step, one after the other, and one kv head: each row's share of them is split into tiles, one a warp, and the
// warps run through the row's splits together, whose pages come to shared memory once for all. Later tokens see more keys: their blocks begin
// first.
//
// Bytes: K and V of a row once a block, from L2. Operations: 4 * D a query head and key. Limited by the tensor cores, and by what shared memory
// gives their operands: 256 * D bytes a warp and split for 4096 * D operations.
#include "cuda/kernels/attention_state.cuh"
#include "cuda/kernels/attention_tensor.h"
#include "cuda/kernels/launch.h"

namespace kvasir::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kStages = 3;

template <class Element, int D>
struct Shared {
  Split<Element, D> splits[kStages];
  Arrival full[kStages];
  uint64_t empty[kStages];
};

// Splits that all warps have run through so far: which stage is whose turn, over all rows and heads of a block.
struct Turn {
  int count = 0;
  __device__ int stage() const { return count % kStages; }
  __device__ int parity() const { return count / kStages % 2; }
};

template <int D>
__device__ inline void write_out(const Attention& op, const Tile& tile, const State<D>& state, int lane) {
  const int g = lane / 4, t = lane % 4;
#pragma unroll
  for (int q = 0; q < 2; ++q) {
    const int m = g + q * 8;
    if (m >= tile.queries) continue;
#pragma unroll
    for (int i = 0; i < D / 8; ++i) {
      store_pair(op.out, tile.first_token + m / tile.heads, column_of(op, tile, m, D) + i * 8 + 2 * t,
                 state.values[i][2 * q] / state.weight[q], state.values[i][2 * q + 1] / state.weight[q]);
    }
  }
}

// One row's tokens of the block: `whole` is the tile of all of them, of which each warp has a part.
template <class Element, int D>
__device__ inline void attend_row(const Attention& op, const PageTables& tables, const Tile& whole, int tokens, Shared<Element, D>& shared,
                                  Turn& turn) {
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, tokens_of_tile = kQueries / whole.heads,
            skipped = warp * tokens_of_tile;
  Tile tile = whole;
  tile.first_token += skipped, tile.position += skipped;
  tile.queries = max(0, min(tokens_of_tile, tokens - skipped)) * whole.heads;
  const Range all{first_seen(op.window, whole.position), whole.position + tokens - 1}, range = range_of(op, tile);
  const int first = all.first / kSplitKeys, last = all.last / kSplitKeys;
  // The warps take turns in fetching. A stage is free when all have run through the split before in it.
  const auto fetch = [&](int split, Turn at) {
    if (split > last || at.count % kWarps != warp) return;
    if (at.count >= kStages) wait(&shared.empty[at.stage()], at.parity() ^ 1);
    fetch_split<Element, D>(op, tables, tile.row, tile.kv_head, split, all, shared.splits[at.stage()], shared.full[at.stage()]);
  };
  for (int ahead = 0; ahead < kStages - 1; ++ahead) fetch(first + ahead, {turn.count + ahead});
  uint32_t queries[D / 16][4];
  load_queries<Element, D>(op, tile, lane, queries);
  State<D> state;
  clear(state);
  for (int split = first; split <= last; ++split, ++turn.count) {
    fetch(split + kStages - 1, {turn.count + kStages - 1});
    const int stage = turn.stage(), start = split * kSplitKeys;
    if (tile.queries > 0 && start <= range.last && start + kSplitKeys > range.first) {
      State<D> part;
      attend_split<Element, D>(op, tile, queries, shared.splits[stage], shared.full[stage], turn.parity(), split, range, lane, part);
      merge(state, part);
    } else {
      wait(&shared.full[stage].v, turn.parity());  // a stage is not filled again before its copies have come
    }
    __syncwarp();
    if (lane == 0) arrive(&shared.empty[stage]);
  }
  if (tile.queries > 0) write_out<D>(op, tile, state, lane);
}

template <class Element, int D>
__global__ void __launch_bounds__(kWarps* kWarp, 1)
    attend_many(Attention op, StepView step, PageTables tables, int tokens, int heads_of_tile) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) uint8_t memory[];
  auto& shared = *reinterpret_cast<Shared<Element, D>*>(memory);
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < kStages; ++stage) {
      shared.full[stage].init();
      init_barrier(&shared.empty[stage], kWarps);
    }
    fence_shared_for_async();
  }
  __syncthreads();
  wait_in_turn();
  const int group = op.query_heads / op.cache.kv_heads, tokens_of_block = kWarps * (kQueries / heads_of_tile);
  const int begin = (static_cast<int>(gridDim.x - 1 - blockIdx.x)) * tokens_of_block, end = min(tokens, begin + tokens_of_block);
  Turn turn;
  for (int token = begin, next; token < end; token = next) {
    const int row = step.row_of_token[token];
    next = row < 0 ? end : min(end, step.q_indptr[row + 1]);  // padding comes last
    if (row < 0 || step.q_indptr[row + 1] - step.q_indptr[row] <= kFewTokens) continue;
    for (int head = 0; head < group; head += heads_of_tile) {
      const Tile whole{.row = row,
                       .kv_head = static_cast<int>(blockIdx.y),
                       .first_token = token,
                       .first_head = head,
                       .heads = min(heads_of_tile, group - head),
                       .position = step.positions[token]};
      attend_row<Element, D>(op, tables, whole, next - token, shared, turn);
    }
  }
#endif
}

template <class Element, int D>
void launch_kernel(const Attention& op, cudaStream_t stream) {
  const StepInputs& step = *op.step;
  const int heads = std::min(kQueries, op.query_heads / op.cache.kv_heads), tokens_of_block = kWarps * (kQueries / heads);
  const Grid grid{.blocks = dim3((step.tokens + tokens_of_block - 1) / tokens_of_block, op.cache.kv_heads),
                  .threads = kWarps * kWarp,
                  .shared = sizeof(Shared<Element, D>)};
  launch("attention of many tokens", attend_many<Element, D>, grid, stream, op, view_of(step), step.tables[op.group], step.tokens, heads);
}

}  // namespace

void attend_many(const Attention& op, cudaStream_t stream) {
  with_tensor_shape(op, [&](auto element, auto size) { launch_kernel<decltype(element), size>(op, stream); });
}

}  // namespace kvasir::cuda
