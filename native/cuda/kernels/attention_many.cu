// attention of rows with many tokens (prompts) by mma.sync, where there is no wgmma: see attention_state.cuh for the order of sums,
// attention_block.cuh for a block's queries. Later tokens see more keys: their blocks begin first.
//
// Bytes: K and V of a row once a block, from L2. Operations: 4 * D a query head and key. Limited by the tensor cores, and by what shared memory
// gives their operands: 256 * D bytes a warp and split for 4096 * D operations.
#include "cuda/kernels/attention_block.cuh"
#include "cuda/kernels/launch.h"

namespace kvasir::cuda {
namespace {

template <int D>
constexpr int kStages = D <= 160 ? 3 : 2;  // for which shared memory has room

template <class Element, int D>
struct Shared {
  Split<Element, D> splits[kStages<D>];
  Arrival full[kStages<D>];
  uint64_t empty[kStages<D>];
  uint4 queries[D <= kMostWhole ? 1 : kBlockWarps][D / 16][kWarp];  // each lane's own
};

template <int D>
using Place = Turn<kStages<D>>;

// f(queries) for those of a tile: in registers where there is room.
template <class Element, int D, class Function>
__device__ inline void with_queries(const Attention& op, const Tile& tile, int lane, Shared<Element, D>& shared, const Function& f) {
  uint32_t queries[D / 16][4];
  load_queries<Element, D>(op, tile, lane, queries);
  if constexpr (D <= kMostWhole) {
    f(queries);
  } else {
    uint4* own = &shared.queries[threadIdx.x / kWarp][0][lane];
#pragma unroll
    for (int step = 0; step < D / 16; ++step) {
      own[step * kWarp] = make_uint4(queries[step][0], queries[step][1], queries[step][2], queries[step][3]);
    }
    f(static_cast<const uint4*>(own));
  }
}

// A split joins the state.
template <class Element, int D, class Queries>
__device__ inline void attend_split(const Attention& op, const Tile& tile, const Queries& queries, const Split<Element, D>& memory,
                                    Arrival& arrival, int parity, int start, KeyRange range, int lane, State<D>& state) {
  Weights weights;
  Totals totals;
  Factors factors[2];
  wait(&arrival.k, parity);
  weigh_keys<Element, D>(op, tile, queries, memory.k, start, range, lane, weights, totals);
  join(state, totals, factors);
  wait(&arrival.v, parity);
  for_each_columns<Element, D>(weights, memory.v, start, range, lane,
                               [&](int first, const auto& sums) { merge_values(state, first, sums, factors); });
}

template <class Element, int D>
__device__ inline void attend_share(const Attention& op, const PageTables& tables, const Share& share, Shared<Element, D>& shared,
                                    Place<D>& turn) {
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, tokens = kQueries / share.whole.heads;
  const Tile tile = part_of(share, warp * tokens, tokens);
  const KeyRange range = range_of(op, tile);
  const int first = first_split(share), last = last_split(share);
  // The warps take turns in fetching. A stage is free when all have run through the split before in it.
  const auto fetch = [&](int split, Place<D> at) {
    if (split > last || at.count % kBlockWarps != warp) return;
    if (at.count >= kStages<D>) wait(&shared.empty[at.stage()], at.parity() ^ 1);
    fetch_split<Element, D>(op, pages_of(tables, tile.row), tile.kv_head, split, share.range, shared.splits[at.stage()],
                            shared.full[at.stage()]);
  };
  for (int ahead = 0; ahead < kStages<D> - 1; ++ahead) fetch(first + ahead, {turn.count + ahead});
  with_queries(op, tile, lane, shared, [&](const auto& queries) {
    State<D> state;
    clear(state);
    for (int split = first; split <= last; ++split, ++turn.count) {
      fetch(split + kStages<D> - 1, {turn.count + kStages<D> - 1});
      const int stage = turn.stage(), start = split * kSplitKeys;
      if (tile.queries > 0 && start <= range.last && start + kSplitKeys > range.first) {
        attend_split(op, tile, queries, shared.splits[stage], shared.full[stage], turn.parity(), start, range, lane, state);
      } else {
        wait_for_split(shared.full[stage], turn.parity());
      }
      __syncwarp();
      if (lane == 0) arrive(&shared.empty[stage]);
    }
    if (tile.queries > 0) write_out<D>(op, tile, state, lane);
  });
}

template <class Element, int D>
__global__ void __launch_bounds__(kBlockWarps* kWarp, 1)
    attend_many(Attention op, StepView step, PageTables tables, int tokens, int heads_of_tile) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) uint8_t memory[];
  auto& shared = *reinterpret_cast<Shared<Element, D>*>(memory);
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < kStages<D>; ++stage) {
      shared.full[stage].init();
      init_barrier(&shared.empty[stage], kBlockWarps);
    }
    fence_shared_for_async();
  }
  __syncthreads();
  wait_in_turn();
  const int most = tokens_of_block(heads_of_tile), begin = static_cast<int>(gridDim.x - 1 - blockIdx.x) * most;
  Place<D> turn;
  for_each_share(op, step, begin, min(most, tokens - begin), static_cast<int>(blockIdx.y), heads_of_tile,
                 [&](const Share& share) { attend_share<Element, D>(op, tables, share, shared, turn); });
#else
  __trap();  // before Hopper nothing is to be launched here
#endif
}

template <class Element, int D>
void launch_kernel(const Attention& op, cudaStream_t stream) {
  static_assert(sizeof(Shared<Element, D>) <= kHopperShared);
  const StepInputs& step = *op.step;
  const int heads = tile_heads(op), most = tokens_of_block(heads);
  const Grid grid{.blocks = dim3((step.tokens + most - 1) / most, op.cache.kv_heads),
                  .threads = kBlockWarps * kWarp,
                  .shared = sizeof(Shared<Element, D>)};
  launch("attention of many tokens", attend_many<Element, D>, grid, stream, op, view_of(step), step.tables[op.group], step.tokens, heads);
}

}  // namespace

size_t shared_of_many(const Attention& op) {
  size_t bytes = 0;
  with_tensor_shape(op, [&](auto element, auto size) { bytes = sizeof(Shared<decltype(element), size>); });
  return bytes;
}

void attend_many(const Attention& op, cudaStream_t stream) {
  with_tensor_shape(op, [&](auto element, auto size) { launch_kernel<decltype(element), size>(op, stream); });
}

}  // namespace kvasir::cuda
