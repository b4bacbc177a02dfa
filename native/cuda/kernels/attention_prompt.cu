// attention of rows with many tokens (prompts) by wgmma: see attention_state.cuh for the order of sums.
//
// Two warpgroups have a tile of 16 queries a warp, 128 in all; one more warp (of E4M3 four) has pages copied into a ring: a split's keys, its values, the keys of
// the next one and so on. While the tensor cores sum a split's values, the warpgroup weighs the scores of the next one; while it weighs and
// merges, they are the other's. Later tokens see more keys: their blocks begin first.
//
// Heads of more than 128 leave no registers for that: a split's scores, then its values some columns at a time, which are merged while the next
// ones are summed; what the tensor cores wait meanwhile, they are the other warpgroup's.
//
// Bytes: K and V of a row once a block, from L2. Operations: 4 * D a query head and key. Limited by the tensor cores (512 clocks a warpgroup and
// split of heads of 128) and by the instructions of weights and merges (some 430 a warp).
#include "cuda/kernels/attention_bring.cuh"
#include "cuda/kernels/launch.h"

namespace kvasir::cuda {
namespace {

constexpr int kThreads = (kBlockWarps + kGroupWarps) * kWarp;  // setmaxnreg is of whole warpgroups

// Scores to the split's weights; where each query sees each key, nothing is hidden.
[[maybe_unused]] __device__ inline void weigh_split(const Attention& op, const PromptPart& own, int split, int lane, Scores& scores,
                                                    Totals& totals) {
  cap_scores(op, scores);
  if (split < own.whole.first || split > own.whole.last) hide_unseen(op, own.tile, split * kSplitKeys, lane, scores);
  weigh(scores, totals);
}

// A split that others of the block see.
template <class Element, int D>
__device__ inline void pass(PromptMemory<Element, D>& shared, Place<D>& turn, int lane) {
  for (int half = 0; half < 2; ++half, ++turn.count) {
    wait(&shared.full[turn.stage()], turn.parity());
    __syncwarp();
    if (lane == 0) arrive(&shared.empty[turn.stage()]);
  }
}

// The splits [split, last], by all warps of a warpgroup.
template <class Element, int D>
__device__ inline void attend_splits(const Attention& op, const PromptPart& own, int split, int last, int group, int lane,
                                     PromptMemory<Element, D>& shared, Place<D>& turn, State<D>& state) {
  static_assert(kPlaces<D> % 2 == 0);  // a split's values lie right after its keys
  Scores scores;
  Weights weights;
  State<D> part;
  Factors factors[2];
  int place = uniform(turn.stage());
  wait(&shared.full[place], turn.parity());
  begin_scores<Element, D>(shared, group, place, scores);
  wgmma_wait<0>();
  hold(flat(scores));
  if (lane == 0) arrive(&shared.empty[place]);
  weigh_split(op, own, split, lane, scores, part);
  ++turn.count, ++place;  // to the values
  wait(&shared.full[place], turn.parity());
#pragma unroll 1
  for (; split < last; ++split) {
    pack_weights<Element>(scores, weights);
    const Place<D> next{turn.count + 1};
    const int next_place = uniform(next.stage());
    wait(&shared.full[next_place], next.parity());
    begin_scores<Element, D>(shared, group, next_place, scores);
    clear_unseen<Element, D>(own.seen, split * kSplitKeys, group, shared.ring[place]);
    begin_values<Element, D>(weights, shared, place, 0, part.values);
    join(state, part, factors);
    wgmma_wait<1>();
    hold(flat(scores));
    if (lane == 0) arrive(&shared.empty[next_place]);
    weigh_split(op, own, split + 1, lane, scores, part);
    hold(flat(scores));
    wait(&shared.full[next_place + 1], next.parity());  // a branch: else the compiler weighs after the wait for the sums
    wgmma_wait<0>();
    hold(weights);
    hold(flat(part.values));
    if (lane == 0) arrive(&shared.empty[place]);
    merge_values(state, 0, part.values, factors);
    turn.count += 2, place = next_place + 1;
  }
  pack_weights<Element>(scores, weights);
  clear_unseen<Element, D>(own.seen, split * kSplitKeys, group, shared.ring[place]);
  begin_values<Element, D>(weights, shared, place, 0, part.values);
  join(state, part, factors);
  wgmma_wait<0>();
  hold(weights);
  hold(flat(part.values));
  if (lane == 0) arrive(&shared.empty[place]);
  ++turn.count;
  merge_values(state, 0, part.values, factors);
}

// The values in a place of the ring, with these weights: columns are merged while the next ones are summed.
template <class Element, int D>
__device__ inline void merge_columns(const Weights& weights, const PromptMemory<Element, D>& shared, int place, const Factors (&factors)[2],
                                     State<D>& state) {
  constexpr int columns = kColumns<D>, count = D / columns;
  float sums[2][columns / 8][4];
  begin_values<Element, D>(weights, shared, place, 0, sums[0]);
#pragma unroll
  for (int i = 1; i < count; ++i) {
    begin_values<Element, D>(weights, shared, place, i * columns, sums[i % 2]);
    wgmma_wait<1>();
    hold(flat(sums[(i + 1) % 2]));
    merge_values(state, (i - 1) * columns, sums[(i + 1) % 2], factors);
  }
  wgmma_wait<0>();
  hold(weights);
  hold(flat(sums[(count + 1) % 2]));
  merge_values(state, (count - 1) * columns, sums[(count + 1) % 2], factors);
}

// As attend_splits, of large heads.
template <class Element, int D>
__device__ inline void attend_splits_by_columns(const Attention& op, const PromptPart& own, int split, int last, int group, int lane,
                                                PromptMemory<Element, D>& shared, Place<D>& turn, State<D>& state) {
#pragma unroll 1
  for (; split <= last; ++split, turn.count += 2) {
    Weights weights;
    Factors factors[2];
    const int keys = uniform(turn.stage());
    wait(&shared.full[keys], turn.parity());
    {
      Scores scores;
      Totals totals;
      begin_scores<Element, D>(shared, group, keys, scores);
      wgmma_wait<0>();
      hold(flat(scores));
      if (lane == 0) arrive(&shared.empty[keys]);
      weigh_split(op, own, split, lane, scores, totals);
      pack_weights<Element>(scores, weights);
      join(state, totals, factors);
    }
    const Place<D> next{turn.count + 1};
    const int values = uniform(next.stage());
    wait(&shared.full[values], next.parity());
    clear_unseen<Element, D>(own.seen, split * kSplitKeys, group, shared.ring[values]);
    merge_columns<Element, D>(weights, shared, values, factors, state);
    if (lane == 0) arrive(&shared.empty[values]);
  }
}

// What a warp has to do of a share.
[[maybe_unused]] __device__ inline PromptPart part_of(const Attention& op, const Share& share, const Tile& tile) {
  const int last = range_of(op, tile).last;
  return {tile, share.range, {(first_seen(op.window, last) + kSplitKeys - 1) / kSplitKeys, (tile.position + 1) / kSplitKeys - 1}};
}

// A warp's part of a share.
template <class Element, int D>
__device__ inline void attend_share(const Attention& op, const Share& share, PromptMemory<Element, D>& shared, Place<D>& turn) {
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, group = uniform(warp / kGroupWarps),
            tokens = kQueries / share.whole.heads;
  const Tile together = part_of(share, group * kGroupWarps * tokens, kGroupWarps * tokens), tile = part_of(share, warp * tokens, tokens);
  int split = first_split(share);
  const int end = last_split(share) + 1;
  if (together.queries > 0) {
    const KeyRange range = range_of(op, together);
    const int last = range.last / kSplitKeys;
    if (lane == 0) shared.parts[warp] = part_of(op, share, tile);
    keep_queries<Element, D>(op, tile, lane, shared.queries[warp]);
    fence_shared_for_async();
    sync_group(group);
    for (; split < range.first / kSplitKeys; ++split) pass<Element, D>(shared, turn, lane);
    State<D> state;
    clear(state);
    if constexpr (D <= kMostWhole) {
      attend_splits<Element, D>(op, shared.parts[warp], split, last, group, lane, shared, turn, state);
    } else {
      attend_splits_by_columns<Element, D>(op, shared.parts[warp], split, last, group, lane, shared, turn, state);
    }
    split = last + 1;
    write_out<D>(op, shared.parts[warp].tile, state, lane);
    sync_group(group);  // before queries and parts are others
  }
  for (; split < end; ++split) pass<Element, D>(shared, turn, lane);
}

template <class Element, int D>
__global__ void __launch_bounds__(kThreads, 1)
    attend_prompt(Attention op, StepView step, PageTables tables, int tokens, int heads_of_tile) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(128) uint8_t memory[];
  using Held = Multiplied<Element>;
  auto& shared = *reinterpret_cast<PromptMemory<Held, D>*>(memory);
  if (threadIdx.x == 0) {
    for (uint64_t& barrier : shared.copied) init_barrier(&barrier, 1);
    for (int place = 0; place < kPlaces<D>; ++place) {
      init_barrier(&shared.full[place], 1);
      init_barrier(&shared.empty[place], kBlockWarps);
    }
    fence_shared_for_async();
  }
  __syncthreads();
  wait_in_turn();
  const int most = tokens_of_block(heads_of_tile), begin = static_cast<int>(gridDim.y - 1 - blockIdx.y) * most;
  const auto for_each = [&](const auto& f) {
    for_each_share(op, step, begin, min(most, tokens - begin), static_cast<int>(blockIdx.x), heads_of_tile, f);
  };
  Place<D> turn;
  if (threadIdx.x >= kBlockWarps * kWarp) {
    leave_registers<kIsWidened<Element> ? 40 : 24>();
    if (threadIdx.x / kWarp - kBlockWarps < kBringers<Element>) {
      for_each([&](const Share& share) { bring_share<Element, D>(op, tables, share, shared, turn); });
    }
  } else {
    take_registers<kIsWidened<Element> ? 232 : 240>();
    for_each([&](const Share& share) { attend_share<Held, D>(op, share, shared, turn); });
  }
#else
  __trap();  // without wgmma nothing is to be launched here
#endif
}

template <class Element, int D>
void launch_kernel(const Attention& op, cudaStream_t stream) {
  constexpr size_t bytes = sizeof(PromptMemory<Multiplied<Element>, D>);
  static_assert(bytes <= kHopperShared);
  const StepInputs& step = *op.step;
  const int heads = tile_heads(op), most = tokens_of_block(heads);
  const Grid grid{.blocks = dim3(op.cache.kv_heads, (step.tokens + most - 1) / most), .threads = kThreads, .shared = bytes};
  launch("attention of prompts", attend_prompt<Element, D>, grid, stream, op, view_of(step), step.tables[op.group], step.tokens, heads);
}

}  // namespace

void attend_prompt(const Attention& op, cudaStream_t stream) {
  with_tensor_shape(op, [&](auto element, auto size) { launch_kernel<decltype(element), size>(op, stream); });
}

}  // namespace kvasir::cuda
