// attention of rows with many tokens (prompts) by wgmma: see attention_state.cuh for the order of sums.
//
// Two warpgroups have a tile of 16 queries a warp, 128 in all; one more warp has pages copied into a ring of splits. While the tensor cores sum a
// split's values, the warpgroup weighs the scores of the next one; while it weighs and merges, they are the other's. Later tokens see more keys:
// their blocks begin first.
//
// Bytes: K and V of a row once a block, from L2. Operations: 4 * D a query head and key. Limited by the tensor cores (512 clocks a warpgroup and
// split of heads of 128) and by the instructions of weights and merges (some 430 a warp).
#include "cuda/kernels/attention_wgmma.cuh"
#include "cuda/kernels/launch.h"

namespace kvasir::cuda {
namespace {

constexpr int kThreads = (kBlockWarps + kGroupWarps) * kWarp;  // setmaxnreg is of whole warpgroups

using Place = Turn<kPromptStages>;

// Scores to the split's weights; where each query sees each key, nothing is hidden.
[[maybe_unused]] __device__ inline void weigh_split(const Attention& op, const PromptPart& own, int split, int lane, Scores& scores,
                                                    float (&largest)[2], float (&weight)[2]) {
  if (split < own.whole.first || split > own.whole.last) hide_unseen(op, own.tile, split * kSplitKeys, lane, scores);
  weigh(scores, largest, weight);
}

// A split that others of the block see.
template <class Element, int D>
__device__ inline void pass(PromptMemory<Element, D>& shared, Place& turn, int lane) {
  wait_for_split(shared.full[turn.stage()], turn.parity());
  __syncwarp();
  if (lane == 0) arrive(&shared.empty[turn.stage()]);
  ++turn.count;
}

template <class Element>
__device__ inline void pack_all(const Scores& scores, Weights& weights) {
#pragma unroll
  for (int page = 0; page < kSplitPages; ++page) pack_weights<Element>(scores, page, weights[page]);
}

// The splits [split, last], by all warps of a warpgroup.
template <class Element, int D>
__device__ inline void attend_splits(const Attention& op, const PromptPart& own, int split, int last, int group, int lane,
                                     PromptMemory<Element, D>& shared, Place& turn, State<D>& state) {
  Scores scores;
  Weights weights;
  State<D> part;
  Factors factors[2];
  int stage = uniform(turn.stage());
  wait(&shared.full[stage].k, turn.parity());
  begin_scores<Element, D>(shared, group, stage, scores);
  wgmma_wait<0>();
  hold(flat(scores));
  weigh_split(op, own, split, lane, scores, part.largest, part.weight);
  wait(&shared.full[stage].v, turn.parity());
#pragma unroll 1
  for (; split < last; ++split) {
    pack_all<Element>(scores, weights);
    const Place next{turn.count + 1};
    const int next_stage = uniform(next.stage());
    wait(&shared.full[next_stage].k, next.parity());
    begin_scores<Element, D>(shared, group, next_stage, scores);
    clear_unseen<Element, D>(own.seen, split * kSplitKeys, group, shared.splits[stage]);
    begin_values<Element, D>(weights, shared, stage, part);
    join(state, part, factors);
    wgmma_wait<1>();
    hold(flat(scores));
    weigh_split(op, own, split + 1, lane, scores, part.largest, part.weight);
    hold(flat(scores));
    wait(&shared.full[next_stage].v, next.parity());  // a branch: else the compiler weighs after the wait for the sums
    wgmma_wait<0>();
    hold(weights);
    hold(flat(part.values));
    if (lane == 0) arrive(&shared.empty[stage]);
    merge_values(state, part, factors);
    turn = next, stage = next_stage;
  }
  pack_all<Element>(scores, weights);
  clear_unseen<Element, D>(own.seen, split * kSplitKeys, group, shared.splits[stage]);
  begin_values<Element, D>(weights, shared, stage, part);
  wgmma_wait<0>();
  hold(weights);
  hold(flat(part.values));
  if (lane == 0) arrive(&shared.empty[stage]);
  ++turn.count;
  merge(state, part);
}

// What a warp has to do of a share.
[[maybe_unused]] __device__ inline PromptPart part_of(const Attention& op, const Share& share, const Tile& tile) {
  const int last = range_of(op, tile).last;
  return {tile, share.range, {(first_seen(op.window, last) + kSplitKeys - 1) / kSplitKeys, (tile.position + 1) / kSplitKeys - 1}};
}

// A warp's part of a share.
template <class Element, int D>
__device__ inline void attend_share(const Attention& op, const Share& share, PromptMemory<Element, D>& shared, Place& turn) {
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
    attend_splits<Element, D>(op, shared.parts[warp], split, last, group, lane, shared, turn, state);
    split = last + 1;
    write_out<D>(op, shared.parts[warp].tile, state, lane);
    sync_group(group);  // before queries and parts are others
  }
  for (; split < end; ++split) pass<Element, D>(shared, turn, lane);
}

// All splits of a share into the ring, by one warp.
template <class Element, int D>
__device__ inline void bring_share(const Attention& op, const PageTables& tables, const Share& share, PromptMemory<Element, D>& shared,
                                   Place& turn) {
  for (int split = first_split(share); split <= last_split(share); ++split, ++turn.count) {
    const int stage = turn.stage();
    if (turn.count >= kPromptStages) wait(&shared.empty[stage], turn.parity() ^ 1);
    fetch_split<Element, D>(op, tables, share.whole.row, share.whole.kv_head, split, share.range, shared.splits[stage], shared.full[stage]);
  }
}

template <class Element, int D>
__global__ void __launch_bounds__(kThreads, 1)
    attend_prompt(Attention op, StepView step, PageTables tables, int tokens, int heads_of_tile) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(128) uint8_t memory[];
  auto& shared = *reinterpret_cast<PromptMemory<Element, D>*>(memory);
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < kPromptStages; ++stage) {
      shared.full[stage].init();
      init_barrier(&shared.empty[stage], kBlockWarps);
    }
    fence_shared_for_async();
  }
  __syncthreads();
  wait_in_turn();
  const int most = tokens_of_block(heads_of_tile), begin = static_cast<int>(gridDim.y - 1 - blockIdx.y) * most;
  const auto for_each = [&](const auto& f) {
    for_each_share(op, step, begin, min(most, tokens - begin), static_cast<int>(blockIdx.x), heads_of_tile, f);
  };
  Place turn;
  if (threadIdx.x >= kBlockWarps * kWarp) {
    leave_registers<24>();
    if (threadIdx.x / kWarp == kBlockWarps) for_each([&](const Share& share) { bring_share<Element, D>(op, tables, share, shared, turn); });
  } else {
    take_registers<240>();
    for_each([&](const Share& share) { attend_share<Element, D>(op, share, shared, turn); });
  }
#else
  __trap();  // without wgmma nothing is to be launched here
#endif
}

template <class Element, int D>
void launch_kernel(const Attention& op, cudaStream_t stream) {
  const StepInputs& step = *op.step;
  const int heads = std::min(kQueries, op.query_heads / op.cache.kv_heads), most = tokens_of_block(heads);
  const Grid grid{
      .blocks = dim3(op.cache.kv_heads, (step.tokens + most - 1) / most), .threads = kThreads, .shared = sizeof(PromptMemory<Element, D>)};
  launch("attention of prompts", attend_prompt<Element, D>, grid, stream, op, view_of(step), step.tables[op.group], step.tokens, heads);
}

}  // namespace

void attend_prompt(const Attention& op, cudaStream_t stream) {
  with_tensor_shape(op, [&](auto element, auto size) {
    if constexpr (size % 64 == 0) launch_kernel<decltype(element), size>(op, stream);
  });
}

}  // namespace kvasir::cuda
