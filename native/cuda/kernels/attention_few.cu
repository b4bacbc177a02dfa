// attention of rows with few tokens (decode, guesses to be checked): see attention_state.cuh for the order of sums.
//
// A cluster of `ranks` blocks has a tile of queries: in each round every warp runs a split of its own, then all threads of the cluster
// merge the round's states through each other's shared memory, each for its own elements. More ranks where there are few rows, so that the
// card is busy; their number changes no bit. What earlier steps wrote of the cache is on its way before the kernel before this one has
// ended: between two steps there is always a launch that waits for all before it (put_last_tokens).
//
// Where makes_rope() it makes the qk_rope_append before it, too, and waits for nothing but the projections: each block its tile's queries,
// and one of each tile the newest key and value, which it puts into its own copy of their page, under way by then, and after the last round
// into the cache.
//
// Bytes: K and V of a row once a tile. Limited by latency at short contexts, by memory at long ones.
#include <algorithm>

#include "cuda/kernels/attention_split.cuh"
#include "cuda/kernels/attention_tensor.h"
#include "cuda/kernels/launch.h"
#include "cuda/kernels/rope.cuh"

namespace kvasir::cuda {
namespace {

// Warps of a block: few, so that it finds room beside others and beside the blocks of the kernel before, and its pages are on their way
// early; or many (wants_many_warps()).
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

// The heads of a tile's token, as a qk_rope_append leaves them: its queries, then its key and its value. The fewer instructions, the
// better: a kernel that runs once a layer finds its own no more where it left them.
template <class Element, int D, int warps>
class TokenHeads {
 public:
  static constexpr size_t bytes(int queries) { return (size_t(2 * queries + 1) * kRow + D) * sizeof(float); }

  // Queries, weights of norms and rotations lie in `memory`, a key and a value in `token`.
  __device__ TokenHeads(const QkRopeAppend& op, float* memory, float (*token)[D])
      : op_(op), memory_(memory), token_(token), cache_(op.cache) {
    cache_.page_size = kPage, cache_.head_size = D;  // known to the compiler
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {  // on their way early
      const int pair = threadIdx.x + i * kThreads;
      frequencies_[i] = pair < op.rope.pairs ? static_cast<const float*>(op.rope.frequencies.data)[pair] : 0;
    }
  }

  // What depends on the step's inputs alone. `count`: of the heads that the block makes.
  __device__ void prepare(const Tile& tile, int count) {
    tile_ = tile, count_ = count;
    first_query_ = tile_.kv_head * (op_.query_heads / op_.cache.kv_heads) + tile_.first_head;
    each_head([&](int i) {
      if (const float* norm = head(i).weight) copy(weight(i), norm);
    });
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const int pair = threadIdx.x + i * kThreads;
      if (pair < op_.rope.pairs) rotations()[pair] = rotation_of(op_.rope, tile.position, frequencies_[i]);
    }
    if (op_.query_growth.growth != 0) growth_ = growth_at(op_.query_growth, tile_.position);
    __syncthreads();
  }

  // When the projections are there. `scale`: of the queries.
  __device__ void make(float scale) const {
    each_head([&](int i) { copy(place(i), head(i).values); });
    wait_for_copies<0>();
    each_head([&](int i) {
      if (kind(i) != HeadKind::Value) turn(i, scale);
    });
  }

  // Operand A: the queries, scaled; what lies beyond them is the last one again, which sees nothing.
  __device__ void load(uint32_t (&a)[D / 16][4]) const {
    const int lane = threadIdx.x % kWarp, m = min(lane % 16, tile_.queries - 1);
    const auto* row = reinterpret_cast<const Multiplied<Element>*>(memory_ + m * kRow) + lane / 16 * 8;
#pragma unroll
    for (int step = 0; step < D / 16; ++step) {
      const uint4 part = load_matrices(row + step * 16);
      a[step][0] = part.x, a[step][1] = part.y, a[step][2] = part.z, a[step][3] = part.w;
    }
  }

  // The key, or value, in a page, which begins at `to`.
  __device__ void put_key(Element* to) const {
    each_dimension<shares_of(D)>(D, [&](int d, int) { put(to + key_place(cache_, tile_.position, d), token_[0][d]); });
  }
  __device__ void put_value(Element* to) const {
    each_dimension<shares_of(D)>(D, [&](int d, int) { put(to + value_place(cache_, tile_.position, d), token_[1][d]); });
  }

 private:
  static constexpr int kRow = D + 8;  // floats; other banks
  static constexpr int kThreads = warps * kWarp, kPairs = (D / 2 + kThreads - 1) / kThreads;

  __device__ HeadKind kind(int i) const {
    return i < tile_.queries ? HeadKind::Query : i == tile_.queries ? HeadKind::Key : HeadKind::Value;
  }
  __device__ Head head(int i) const {
    return head_of_token(op_, kind(i), tile_.first_token, i < tile_.queries ? first_query_ + i : tile_.kv_head, D);
  }
  __device__ float* place(int i) const {
    return i < tile_.queries ? memory_ + i * kRow : token_[i - tile_.queries];
  }
  __device__ float* weight(int i) const {
    return memory_ + (tile_.queries + i) * kRow;
  }
  __device__ Rotation* rotations() const {
    return reinterpret_cast<Rotation*>(weight(tile_.queries + 1));
  }

  // f(i) for those of the warp.
  template <class Function>
  __device__ void each_head(const Function& f) const {
#pragma unroll 1
    for (int i = threadIdx.x / kWarp; i < count_; i += warps) f(i);
  }
  __device__ static void copy(float* to, const float* from) {
#pragma unroll
    for (int d = 0; d < D; d += 4 * kWarp) {
      const int own = d + threadIdx.x % kWarp * 4;
      if (own < D) copy_16(to + own, from + own);
    }
    end_copies();
  }

  __device__ void turn(int i, float scale) const {
    float x[shares_of(D)], weights[shares_of(D)];
    float* own = place(i);
    each_dimension<shares_of(D)>(D, [&](int d, int j) { x[j] = own[d]; });
    if (head(i).weight) {
      each_dimension<shares_of(D)>(D, [&](int d, int j) { weights[j] = weight(i)[d]; });
      norm_head(x, weights, D, op_.norm);
      each_dimension<shares_of(D)>(D, [&](int d, int j) { own[d] = x[j]; });
      __syncwarp();
    }
    rotate_head(x, own, op_.rope, rotations());
    __syncwarp();  // before that, others read what was there
    if (kind(i) == HeadKind::Key) return each_dimension<shares_of(D)>(D, [&](int d, int j) { own[d] = x[j]; });
    const bool grows = op_.query_growth.growth != 0;
    auto* query = reinterpret_cast<Multiplied<Element>*>(own);
    each_dimension<shares_of(D)>(D, [&](int d, int j) { put(query + d, (grows ? x[j] * growth_ : x[j]) * scale); });
  }

  const QkRopeAppend& op_;
  float* memory_;
  float (*token_)[D];
  KvLayer cache_;
  float frequencies_[kPairs];
  Tile tile_;
  int count_;
  int first_query_;
  float growth_;
};

// Of a block; behind it lie Merged, a thread's after another's, as many as one rank alone has to merge, then States, and before there are
// any, TokenHeads.
template <class Element, int D, int warps>
struct Shared {
  Split<Element, D> splits[warps];
  alignas(16) Arrival arrivals[warps];
  float token[2][D];  // the newest key and value
};
template <int D, int warps>
__host__ __device__ constexpr int merged_of_block(int queries) {
  constexpr int kThreads = warps * kWarp;
  return (queries * D / 2 + kThreads - 1) / kThreads * kThreads;
}
template <class Element, int D, int warps>
constexpr size_t shared_bytes(int queries) {
  return sizeof(Shared<Element, D, warps>) + merged_of_block<D, warps>(queries) * sizeof(Merged) +
         std::max(States<D, warps>::bytes(queries), TokenHeads<Element, D, warps>::bytes(queries));
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
  const int start = step.starts[row];
  Tile tile{.row = row, .kv_head = kv_head, .first_token = first, .first_head = first_head, .heads = heads};
  if (end - begin > kFewTokens || first >= end) return tile;
  tile.queries = min(tokens, end - first) * heads;
  tile.position = start + index * tokens;
  return tile;
}

template <class Element, int D, int warps>
__global__ void __launch_bounds__(warps* kWarp)
    attend_few(Attention op, const __grid_constant__ QkRopeAppend rope, StepView step, PageTables tables, int heads_of_tile,
               int tiles_of_row, int queries_of_tile, int ranks) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) uint8_t memory[];
  auto& shared = *reinterpret_cast<Shared<Element, D, warps>*>(memory);
  auto* merged = reinterpret_cast<Merged*>(memory + sizeof shared);
  const States<D, warps> states{reinterpret_cast<float*>(merged + merged_of_block<D, warps>(queries_of_tile)), queries_of_tile};
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, rank = blockIdx.x % ranks, group = op.query_heads / op.cache.kv_heads;
  const int first_head = blockIdx.z * heads_of_tile, index = blockIdx.x / ranks;
  TokenHeads<Element, D, warps> heads(rope, states.memory, shared.token);
  const int32_t* pages = pages_of(tables, index / tiles_of_row);
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
    if (which <= last) fetch_pages<Element, D, true>(part, op.cache, pages, tile.kv_head, which, range, to, at);
  };
  const auto fetch_keys = [&](int which) { fetch(op.cache.k, which, own.k, arrival.k); };
  const auto fetch_values = [&](int which) { fetch(op.cache.v, which, own.v, arrival.v); };
  const bool with_rope = rope.step != nullptr, has_newest = with_rope && (last - first) % ranks == rank;
  const bool is_old = with_rope || (split + 1) * kSplitKeys <= step.starts[tile.row];  // no key of it is another kernel's of this step
  if (is_old) fetch_keys(split), fetch_values(split);
  if (with_rope) heads.prepare(tile, tile.queries + (has_newest ? 2 : 0));
  const int64_t newest_page = has_newest ? pages[tile.position / kPage] : 0;
  wait_for_kernel_before();
  if (!is_old) fetch_keys(split), fetch_values(split);
  uint32_t queries[D / 16][4];
  if (with_rope) {
    heads.make(op.scale * kLog2E);
    __syncthreads();
    heads.load(queries);
    __syncthreads();  // states take their place
  } else {
    load_queries<Element, D>(op, tile, lane, queries);
  }
  const int newest = tile.position % kSplitKeys / kPage;  // of its split's pages
  for (int round = 0, start = first; start <= last; ++round, start += stride, split += stride) {
    const bool has_split = split <= last;
    Weights weights;
    Totals totals;
    if (has_split) {
      wait(&arrival.k, round % 2);
      if (has_newest && split == last) heads.put_key(own.k[newest]), __syncwarp();
      weigh_keys<Element, D>(op, tile, queries, own.k, split * kSplitKeys, range, lane, weights, totals);
      __syncwarp();
      fetch_keys(split + stride);
    }
    if (round > 0) wait_for_cluster();  // all have merged the states of the round before
    if (has_split) {
      keep_totals<D, warps>(totals, tile.queries, lane, states, warp);
      wait(&arrival.v, round % 2);
      if (has_newest && split == last) heads.put_value(own.v[newest]), __syncwarp();
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
  // Not before: a cluster's barrier waits for what was written.
  if (has_newest && first_head == 0) {
    if (warp == 0) heads.put_key(head_of<Element>(op.cache.k, op.cache, newest_page, tile.kv_head));
    if (warp == 1) heads.put_value(head_of<Element>(op.cache.v, op.cache, newest_page, tile.kv_head));
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
    const int heads = tile_heads(op), tokens = kQueries / heads, most = is_decode(step) ? 1 : kFewTokens;  // of a row
    queries = heads * std::min(tokens, most), tiles_of_row = (most + tokens - 1) / tokens;
    const int tiles = tiles_of(op);
    shared = shared_bytes<Element, D, warps>(queries);
    const int places = resident_blocks(attend_few<Element, D, warps>, warps * kWarp, shared);
    ranks = std::clamp(places * 7 / 8 / tiles, 1, kMostRanks);  // an eighth less, as clusters leave some
    busy = double(tiles) * ranks * warps / ((tiles * ranks - 1) / places + 1);
  }
};

template <class Element, int D, int warps>
void launch_kernel(const Attention& op, const QkRopeAppend* rope, const Plan<Element, D, warps>& plan, cudaStream_t stream) {
  const StepInputs& step = *op.step;
  const Grid grid{.blocks = dim3(step.rows * plan.tiles_of_row * plan.ranks, op.cache.kv_heads, head_tiles(op)),
                  .threads = warps * kWarp,
                  .shared = plan.shared,
                  .cluster = plan.ranks};
  launch("attention of few tokens", attend_few<Element, D, warps>, grid, stream, op, rope ? *rope : QkRopeAppend{}, view_of(step),
         step.tables[op.group], tile_heads(op), plan.tiles_of_row, plan.queries, plan.ranks);
}

// Measured: many warps for long contexts, where a row is alone, which leaves most multiprocessors without a block even so, and where tiles
// are so many that they keep as many warps busy.
template <class Element, int D>
bool wants_many_warps(const Attention& op) {
  if constexpr (D <= kMostWhole) {
    if (!op.step->is_long) return false;
    const int tiles = tiles_of(op), half = processors() / 2;
    if (tiles <= half) return tiles * kMostRanks <= half;
    return Plan<Element, D, kManyWarps>(op).busy >= Plan<Element, D, kFewWarps>(op).busy;
  }
  return false;
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

bool has_few_warps(const Attention& op) {
  bool has_few = false;
  with_tensor_shape(op, [&](auto element, auto size) { has_few = !wants_many_warps<decltype(element), size>(op); });
  return has_few;
}

void attend_few(const Attention& op, const QkRopeAppend* rope, cudaStream_t stream) {
  with_tensor_shape(op, [&](auto element, auto size) {
    using Element = decltype(element);
    if constexpr (size <= kMostWhole) {
      if (wants_many_warps<Element, size>(op)) return launch_kernel(op, rope, Plan<Element, size, kManyWarps>(op), stream);
    }
    launch_kernel(op, rope, Plan<Element, size, kFewWarps>(op), stream);
  });
}

}  // namespace kvasir::cuda
