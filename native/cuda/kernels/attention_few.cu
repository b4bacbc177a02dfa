// attention of rows with few tokens (decode, guesses to be checked): see attention_state.cuh for the order of sums.
//
// A cluster of `ranks` blocks has a tile of queries: in each round every warp runs a split of its own, then all threads of the cluster merge the
// round's states through each other's shared memory, each for its own elements. More ranks where there are few rows, so that the card is
// busy; their number changes no bit. What earlier steps wrote of the cache is on its way before the kernel before this one has ended.
//
// Bytes: K and V of a row once a tile. Limited by latency at short contexts, by memory at long ones.
#include <algorithm>

#include "cuda/kernels/attention_split.cuh"
#include "cuda/kernels/attention_tensor.h"
#include "cuda/kernels/launch.h"

namespace kvasir::cuda {
namespace {

template <int D>
constexpr int kWarps = D <= kMostWhole ? 4 : 2;  // of a block, for which shared memory has room
constexpr int kMostRanks = 8;

// A split's state as memory has it. Rows are 8 floats more than D apart: other banks.
template <int D>
struct StoredState {
  float largest[kQueries];
  float weight[kQueries];
  float values[kQueries][D + 8];
};

// Two dimensions of a query, merged so far.
struct Merged {
  float largest, weight, first, second;
};

template <class Element, int D>
struct Shared {
  static constexpr int warps = kWarps<D>;
  Split<Element, D> splits[warps];
  StoredState<D> states[2][warps];  // of a round; two, so that the next one needn't wait for all to have merged
  Merged merged[kQueries * D / 2 / (warps * kWarp)][warps * kWarp];  // as many as one rank alone has to merge
  Arrival arrivals[warps];
};

template <int D>
__device__ inline void keep_totals(const Totals& totals, int queries, int lane, StoredState<D>& to) {
  if (lane % 4 != 0) return;
#pragma unroll
  for (int q = 0; q < 2; ++q) {
    const int m = lane / 4 + q * 8;
    if (m < queries) to.largest[m] = totals.largest[q], to.weight[m] = totals.weight[q];
  }
}

// The values of the columns from `first` on.
template <int D, int eights>
__device__ inline void keep_values(int first, const float (&values)[eights][4], int queries, int lane, StoredState<D>& to) {
#pragma unroll
  for (int q = 0; q < 2; ++q) {
    const int m = lane / 4 + q * 8;
    if (m >= queries) continue;
#pragma unroll
    for (int i = 0; i < eights; ++i) {
      *reinterpret_cast<float2*>(&to.values[m][first + 8 * i + lane % 4 * 2]) = {values[i][2 * q], values[i][2 * q + 1]};
    }
  }
}

// Merges the first `count` states of a round (split i is warp i / ranks of rank i mod ranks) into each of the thread's pairs of dimensions; in
// the last round they are the result.
template <class Element, int D>
__device__ inline void merge_round(const Attention& op, const Tile& tile, Shared<Element, D>& shared, int turn, int count, int rank,
                                   int ranks, bool first, bool last) {
  const int threads = ranks * kWarps<D> * kWarp;
  for (int k = 0, item = rank * kWarps<D> * kWarp + threadIdx.x; item < tile.queries * D / 2; ++k, item += threads) {
    const int m = item / (D / 2), d = item % (D / 2) * 2;
    Merged merged = first ? Merged{-INFINITY, 0, 0, 0} : shared.merged[k][threadIdx.x];
#pragma unroll 4
    for (int i = 0; i < count; ++i) {
      const StoredState<D>& own = shared.states[turn][i / ranks];
      const int other = i % ranks;
      const Factors factors =
          merge_weights(merged.largest, merged.weight, load_from_block(&own.largest[m], other), load_from_block(&own.weight[m], other));
      const float2 part = load_from_block(reinterpret_cast<const float2*>(&own.values[m][d]), other);
      merged.first = merge_value(merged.first, part.x, factors);
      merged.second = merge_value(merged.second, part.y, factors);
    }
    if (last) {
      const float scale = 1 / merged.weight;
      store_pair(op.out, tile.first_token + m / tile.heads, column_of(op, tile, m, D) + d, merged.first * scale, merged.second * scale);
    } else {
      shared.merged[k][threadIdx.x] = merged;
    }
  }
}

// A tile of a row; no queries if the row has no such tile, or many tokens.
[[maybe_unused]] __device__ inline Tile tile_of(const StepView& step, int row, int index, int kv_head, int first_head, int heads) {
  const int tokens = kQueries / heads, begin = step.q_indptr[row], end = step.q_indptr[row + 1], first = begin + index * tokens;
  Tile tile{.row = row, .kv_head = kv_head, .first_token = first, .first_head = first_head, .heads = heads};
  if (end - begin > kFewTokens || first >= end) return tile;
  tile.queries = min(tokens, end - first) * heads;
  tile.position = step.positions[first];
  return tile;
}

template <class Element, int D>
__global__ void __launch_bounds__(kWarps<D>* kWarp)
    attend_few(Attention op, StepView step, PageTables tables, int heads_of_tile, int tiles_of_row, int ranks) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) uint8_t memory[];
  auto& shared = *reinterpret_cast<Shared<Element, D>*>(memory);
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, rank = blockIdx.x % ranks, group = op.query_heads / op.cache.kv_heads;
  const int first_head = blockIdx.z * heads_of_tile, index = blockIdx.x / ranks;
  const Tile tile =
      tile_of(step, index / tiles_of_row, index % tiles_of_row, blockIdx.y, first_head, min(heads_of_tile, group - first_head));
  let_next_kernel_start();
  if (tile.queries == 0) return wait_for_kernel_before();
  const KeyRange range = range_of(op, tile);
  const int first = range.first / kSplitKeys, last = range.last / kSplitKeys, stride = ranks * kWarps<D>;
  Arrival& arrival = shared.arrivals[warp];
  if (lane == 0) {
    arrival.init();
    fence_shared_for_async();
  }
  __syncwarp();
  int split = first + warp * ranks + rank;
  Split<Element, D>& own = shared.splits[warp];
  const auto fetch = [&](const View& part, int which, Pages<Element, D>& to, uint64_t& at) {
    if (which <= last) fetch_pages<Element, D>(part, op.cache, tables, tile.row, tile.kv_head, which, range, to, at);
  };
  const auto fetch_keys = [&](int which) { fetch(op.cache.k, which, own.k, arrival.k); };
  const auto fetch_values = [&](int which) { fetch(op.cache.v, which, own.v, arrival.v); };
  const bool is_old = (split + 1) * kSplitKeys <= step.starts[tile.row];  // no key of it is of this step
  if (is_old) fetch_keys(split), fetch_values(split);
  wait_for_kernel_before();
  if (!is_old) fetch_keys(split), fetch_values(split);
  uint32_t queries[D / 16][4];
  load_queries<Element, D>(op, tile, lane, queries);
  for (int round = 0, start = first; start <= last; ++round, start += stride, split += stride) {
    if (split <= last) {
      StoredState<D>& state = shared.states[round % 2][warp];
      Weights weights;
      Totals totals;
      wait(&arrival.k, round % 2);
      weigh_keys<Element, D>(op, tile, queries, own.k, split * kSplitKeys, range, lane, weights, totals);
      __syncwarp();
      fetch_keys(split + stride);
      keep_totals<D>(totals, tile.queries, lane, state);
      wait(&arrival.v, round % 2);
      for_each_columns<Element, D>(weights, own.v, split * kSplitKeys, range, lane,
                                   [&](int column, const auto& values) { keep_values<D>(column, values, tile.queries, lane, state); });
      __syncwarp();
      fetch_values(split + stride);
    }
    sync_cluster();
    merge_round<Element, D>(op, tile, shared, round % 2, min(stride, last - start + 1), rank, ranks, round == 0, start + stride > last);
  }
  sync_cluster();  // no block leaves while another reads its states
#else
  __trap();  // before Hopper nothing is to be launched here
#endif
}

// Blocks of a tile, for some two blocks a multiprocessor at most.
int ranks_for(int tiles) {
  int ranks = kMostRanks;
  while (ranks > 1 && tiles * ranks > 256) ranks /= 2;
  return ranks;
}

template <class Element, int D>
void launch_kernel(const Attention& op, cudaStream_t stream) {
  static_assert(sizeof(Shared<Element, D>) <= kHopperShared);
  const StepInputs& step = *op.step;
  const int group = op.query_heads / op.cache.kv_heads, heads = std::min(kQueries, group), head_tiles = (group + heads - 1) / heads;
  const int tokens_of_tile = kQueries / heads, most = step.tokens == step.rows ? 1 : kFewTokens;  // of a row
  const int tiles_of_row = (most + tokens_of_tile - 1) / tokens_of_tile, ranks = ranks_for(step.rows * op.cache.kv_heads * head_tiles);
  const Grid grid{.blocks = dim3(step.rows * tiles_of_row * ranks, op.cache.kv_heads, head_tiles),
                  .threads = kWarps<D> * kWarp,
                  .shared = sizeof(Shared<Element, D>),
                  .cluster = ranks};
  launch("attention of few tokens", attend_few<Element, D>, grid, stream, op, view_of(step), step.tables[op.group], heads, tiles_of_row,
         ranks);
}

}  // namespace

size_t shared_of_few(const Attention& op) {
  size_t bytes = 0;
  with_tensor_shape(op, [&](auto element, auto size) { bytes = sizeof(Shared<decltype(element), size>); });
  return bytes;
}

void attend_few(const Attention& op, cudaStream_t stream) {
  with_tensor_shape(op, [&](auto element, auto size) { launch_kernel<decltype(element), size>(op, stream); });
}

}  // namespace kvasir::cuda
