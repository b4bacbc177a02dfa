// attention of rows with few tokens (decode, guesses to be checked): see attention_state.cuh for the order of sums.
//
// A cluster of `ranks` blocks has a tile of queries: in each round every warp runs a split of its own, then all threads of the cluster
// merge the round's states through each other's shared memory, each for its own elements. More ranks where there are few rows, so that the
// card is busy; their number changes no bit. What earlier steps wrote of the cache is on its way before the kernel before this one has
// ended.
//
// Bytes: K and V of a row once a tile. Limited by latency at short contexts, by memory at long ones.
#include <algorithm>

#include "cuda/kernels/attention_split.cuh"
#include "cuda/kernels/attention_tensor.h"
#include "cuda/kernels/launch.h"

namespace kvasir::cuda {
namespace {

// Warps of a block: few, so that it finds room beside others and beside the blocks of the kernel before, and its pages are on their way
// early; or many (choose_warps()).
constexpr int kFewWarps = 2, kManyWarps = 4;
constexpr int kMostRanks = 8;

// Splits' states as memory has them, of a round's warps. Rows of values are 8 floats more than D apart: other banks.
template <int D, int warps>
struct States {
  static constexpr int kRow = D + 8, kFloats = kRow + 2;  // of a query

  float* memory;
  int queries;  // that a tile may have

  static constexpr size_t bytes(int queries) { return size_t(warps) * queries * kFloats * sizeof(float); }
  __device__ float* largest(int warp) const { return memory + warp * queries * kFloats; }
  __device__ float* weight(int warp) const { return largest(warp) + queries; }
  __device__ float* values(int warp, int m) const { return weight(warp) + queries + m * kRow; }
};

// Two dimensions of a query, merged so far.
struct Merged {
  float largest, weight, first, second;
};

// Of a block; behind it lie Merged, a thread's after another's, as many as one rank alone has to merge, then States.
template <class Element, int D, int warps>
struct Shared {
  Split<Element, D> splits[warps];
  alignas(16) Arrival arrivals[warps];
};
template <int D, int warps>
__host__ __device__ constexpr int merged_of_block(int queries) {
  constexpr int kThreads = warps * kWarp;
  return (queries * D / 2 + kThreads - 1) / kThreads * kThreads;
}
template <class Element, int D, int warps>
constexpr size_t shared_bytes(int queries) {
  return sizeof(Shared<Element, D, warps>) + merged_of_block<D, warps>(queries) * sizeof(Merged) + States<D, warps>::bytes(queries);
}

template <int D, int warps>
__device__ inline void keep_totals(const Totals& totals, int queries, int lane, const States<D, warps>& states, int warp) {
  if (lane % 4 != 0) return;
#pragma unroll
  for (int q = 0; q < 2; ++q) {
    const int m = lane / 4 + q * 8;
    if (m < queries) states.largest(warp)[m] = totals.largest[q], states.weight(warp)[m] = totals.weight[q];
  }
}

// The values of the columns from `first` on.
template <int D, int warps, int eights>
__device__ inline void keep_values(int first, const float (&values)[eights][4], int queries, int lane, const States<D, warps>& states,
                                   int warp) {
#pragma unroll
  for (int q = 0; q < 2; ++q) {
    const int m = lane / 4 + q * 8;
    if (m >= queries) continue;
    float* to = states.values(warp, m) + first + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < eights; ++i) *reinterpret_cast<float2*>(to + 8 * i) = {values[i][2 * q], values[i][2 * q + 1]};
  }
}

// Merges the first `count` states of a round (split i is warp i / ranks of rank i mod ranks) into each of the thread's pairs of dimensions;
// in the last round they are the result.
template <int D, int warps>
__device__ inline void merge_round(const Attention& op, const Tile& tile, const States<D, warps>& states, Merged* merged, int count,
                                   int rank, int ranks, bool first, bool last) {
  constexpr int kThreads = warps * kWarp;
  for (int k = threadIdx.x, item = rank * kThreads + threadIdx.x; item < tile.queries * D / 2; k += kThreads, item += ranks * kThreads) {
    const int m = item / (D / 2), d = item % (D / 2) * 2;
    Merged own = first ? Merged{-INFINITY, 0, 0, 0} : merged[k];
    int warp = 0, other = 0;
#pragma unroll 8
    for (int i = 0; i < count; ++i) {
      const float largest = load_from_block(states.largest(warp) + m, other), weight = load_from_block(states.weight(warp) + m, other);
      const float2 part = load_from_block(reinterpret_cast<const float2*>(states.values(warp, m) + d), other);
      const Factors factors = merge_weights(own.largest, own.weight, largest, weight);
      own.first = merge_value(own.first, part.x, factors);
      own.second = merge_value(own.second, part.y, factors);
      if (++other == ranks) other = 0, ++warp;
    }
    if (last) {
      const float scale = 1 / own.weight;
      store_pair(op.out, tile.first_token + m / tile.heads, column_of(op, tile, m, D) + d, own.first * scale, own.second * scale);
    } else {
      merged[k] = own;
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

template <class Element, int D, int warps>
__global__ void __launch_bounds__(warps* kWarp)
    attend_few(Attention op, StepView step, PageTables tables, int heads_of_tile, int tiles_of_row, int queries_of_tile, int ranks) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) uint8_t memory[];
  auto& shared = *reinterpret_cast<Shared<Element, D, warps>*>(memory);
  auto* merged = reinterpret_cast<Merged*>(memory + sizeof shared);
  const States<D, warps> states{reinterpret_cast<float*>(merged + merged_of_block<D, warps>(queries_of_tile)), queries_of_tile};
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, rank = blockIdx.x % ranks, group = op.query_heads / op.cache.kv_heads;
  const int first_head = blockIdx.z * heads_of_tile, index = blockIdx.x / ranks;
  const Tile tile =
      tile_of(step, index / tiles_of_row, index % tiles_of_row, blockIdx.y, first_head, min(heads_of_tile, group - first_head));
  let_next_kernel_start();
  if (tile.queries == 0) return wait_for_kernel_before();
  const KeyRange range = range_of(op, tile);
  const int first = range.first / kSplitKeys, last = range.last / kSplitKeys, stride = ranks * warps;
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
    const bool has_split = split <= last;
    Weights weights;
    Totals totals;
    if (has_split) {
      wait(&arrival.k, round % 2);
      weigh_keys<Element, D>(op, tile, queries, own.k, split * kSplitKeys, range, lane, weights, totals);
      __syncwarp();
      fetch_keys(split + stride);
    }
    if (round > 0) wait_for_cluster();  // all have merged the states of the round before
    if (has_split) {
      keep_totals<D, warps>(totals, tile.queries, lane, states, warp);
      wait(&arrival.v, round % 2);
      for_each_columns<Element, D>(weights, own.v, split * kSplitKeys, range, lane, [&](int column, const auto& values) {
        keep_values<D, warps>(column, values, tile.queries, lane, states, warp);
      });
      __syncwarp();
      fetch_values(split + stride);
    }
    sync_cluster();
    merge_round<D, warps>(op, tile, states, merged, min(stride, last - start + 1), rank, ranks, round == 0, start + stride > last);
    arrive_at_cluster();
  }
  wait_for_cluster();  // no block leaves while another reads its states
#else
  __trap();  // before Hopper nothing is to be launched here
#endif
}

int head_tiles(const Attention& op) {
  return (op.query_heads / op.cache.kv_heads + kQueries - 1) / kQueries;
}
// Of rows with one token.
int tiles_of(const Attention& op) {
  return op.step->rows * op.cache.kv_heads * head_tiles(op);
}

// How a step's tiles are shared out to blocks of so many warps.
template <class Element, int D, int warps>
struct Plan {
  int queries, tiles_of_row, ranks;
  size_t shared;
  double busy;  // warps that have a split, of all multiprocessors and all rounds of blocks

  explicit Plan(const Attention& op) {
    static_assert(shared_bytes<Element, D, warps>(kQueries) <= kHopperShared);
    const StepInputs& step = *op.step;
    const int heads = tile_heads(op), tokens = kQueries / heads, most = step.tokens == step.rows ? 1 : kFewTokens;  // of a row
    queries = heads * std::min(tokens, most), tiles_of_row = (most + tokens - 1) / tokens;
    const int tiles = tiles_of(op);
    shared = shared_bytes<Element, D, warps>(queries);
    const int places = resident_blocks(attend_few<Element, D, warps>, warps * kWarp, shared);
    ranks = std::clamp(places * 7 / 8 / tiles, 1, kMostRanks);  // an eighth less, as clusters leave some
    busy = double(tiles) * ranks * warps / ((tiles * ranks - 1) / places + 1);
  }
};

template <class Element, int D, int warps>
void launch_kernel(const Attention& op, const Plan<Element, D, warps>& plan, cudaStream_t stream) {
  const StepInputs& step = *op.step;
  const Grid grid{.blocks = dim3(step.rows * plan.tiles_of_row * plan.ranks, op.cache.kv_heads, head_tiles(op)),
                  .threads = warps * kWarp,
                  .shared = plan.shared,
                  .cluster = plan.ranks};
  launch("attention of few tokens", attend_few<Element, D, warps>, grid, stream, op, view_of(step), step.tables[op.group], tile_heads(op),
         plan.tiles_of_row, plan.queries, plan.ranks);
}

// Measured: many warps for a row alone, which leaves most multiprocessors without a block even so, and where tiles are so many that they
// keep as many warps busy: long contexts gain more than short ones lose.
template <class Element, int D>
void choose_warps(const Attention& op, cudaStream_t stream) {
  const Plan<Element, D, kFewWarps> few(op);
  if constexpr (D <= kMostWhole) {
    const Plan<Element, D, kManyWarps> many(op);
    const int tiles = tiles_of(op), half = processors() / 2;
    if (tiles * kMostRanks <= half || (tiles > half && many.busy >= few.busy)) return launch_kernel(op, many, stream);
  }
  launch_kernel(op, few, stream);
}

}  // namespace

size_t shared_of_few(const Attention& op) {
  size_t bytes = 0;
  with_tensor_shape(op, [&](auto element, auto size) {
    constexpr int kMostWarps = size <= kMostWhole ? kManyWarps : kFewWarps;
    bytes = shared_bytes<decltype(element), size, kMostWarps>(kQueries);
  });
  return bytes;
}

void attend_few(const Attention& op, cudaStream_t stream) {
  with_tensor_shape(op, [&](auto element, auto size) { choose_warps<decltype(element), size>(op, stream); });
}

}  // namespace kvasir::cuda
