#pragma once
// A split by wgmma, of a warpgroup's queries: 16 a warp. Pages are operand B as they lie: of a key's dimensions (scores) and of a dimension's keys
// (values). Queries lie in shared memory in the same order; weights are operand A in registers.
#include "cuda/kernels/attention_block.cuh"
#include "cuda/kernels/wgmma.cuh"

namespace kvasir::cuda {

inline constexpr int kGroupWarps = 4;

// Places of the ring that has the keys of a split, its values, the keys of the next one and so on; for which shared memory has room.
template <int D>
inline constexpr int kPlaces = D <= 160 ? 8 : 5;

template <int D>
using Place = Turn<kPlaces<D>>;  // of keys, or values

// What a warp of a warpgroup has to do; in shared memory, as registers are few.
struct PromptPart {
  Tile tile;
  KeyRange seen;   // keys that some query of the share sees
  KeyRange whole;  // splits of which each query of the tile sees each key
};

// A block's shared memory.
template <class Element, int D>
struct PromptMemory {
  Pages<Element, D> ring[kPlaces<D>];
  uint64_t full[kPlaces<D>];
  uint64_t empty[kPlaces<D>];
  uint64_t copied[kGroupWarps];  // of each warp that widens pages, those that have come
  PromptPart parts[kBlockWarps];
  alignas(128) Element queries[kBlockWarps][kQueries * D];
};

// Sums as wgmma has them.
template <class Array>
__device__ inline auto& flat(Array& array) {
  return reinterpret_cast<float(&)[sizeof(Array) / sizeof(float)]>(array);
}

// The operand of keys, or queries: cores of 8 x 8, dimensions side by side.
template <class Element, int D>
__device__ inline uint64_t describe_rows(const Element* rows) {
  return describe_operand(rows, kCoreBytes, D / 8 * kCoreBytes);
}

// Scores of a warpgroup's queries with the keys in a place of the ring: under way.
template <class Element, int D>
__device__ inline void begin_scores(const PromptMemory<Element, D>& shared, int group, int place, Scores& scores) {
  const uint64_t queries = operand_at(describe_rows<Element, D>(shared.queries[0]), group * kGroupWarps * sizeof shared.queries[0]);
  const uint64_t keys = operand_at(describe_rows<Element, D>(shared.ring[0][0]), place * sizeof shared.ring[0]);
  wgmma_fence();
#pragma unroll
  for (int step = 0; step < D / 16; ++step) {
    wgmma(Element(), flat(scores), operand_at(queries, step * 2 * kCoreBytes), operand_at(keys, step * 2 * kCoreBytes), step > 0);
  }
  wgmma_commit();
}

// Sums of the columns from `first` on of the values in a place of the ring with these weights: under way.
template <class Element, int D, int eights>
__device__ inline void begin_values(const Weights& weights, const PromptMemory<Element, D>& shared, int place, int first,
                                    float (&sums)[eights][4]) {
  const uint64_t columns = describe_operand(shared.ring[0][0] + first * 8, D / 8 * kCoreBytes, kCoreBytes);
  const uint64_t values = operand_at(columns, place * sizeof shared.ring[0]);
  wgmma_fence();
#pragma unroll
  for (int page = 0; page < kSplitPages; ++page) {
    wgmma(Element(), flat(sums), weights[page], operand_at(values, page * sizeof shared.ring[0][0]), page > 0);
  }
  wgmma_commit();
}

// All warps of a warpgroup.
__device__ inline void sync_group(int group) {
  asm volatile("bar.sync %0, %1;" ::"r"(1 + group), "n"(kGroupWarps * kWarp) : "memory");
}

// What shared memory has for keys that no query of the share sees may be anything, and 0 * NaN is not 0: their values become 0. By a warpgroup;
// the other one does the same, at any time.
template <class Element, int D>
__device__ inline void clear_unseen(const KeyRange& seen, int start, int group, Pages<Element, D>& values) {
  if (start >= seen.first && start + kSplitKeys - 1 <= seen.last) return;
  auto* pairs = reinterpret_cast<uint32_t*>(values[0]);  // of keys, of one dimension
  for (int i = threadIdx.x % (kGroupWarps * kWarp); i < kSplitKeys / 2 * D; i += kGroupWarps * kWarp) {
    const int key = start + i / (4 * D) * 8 + i % 4 * 2;
    const bool first = key >= seen.first && key <= seen.last, second = key + 1 >= seen.first && key + 1 <= seen.last;
    if (!first || !second) pairs[i] &= (first ? 0xffffu : 0u) | (second ? 0xffff0000u : 0u);
  }
  fence_shared_for_async();
  sync_group(group);
}

// The warp's queries, in shared memory: [2 eights][D / 8][8 queries][8 dimensions].
template <class Element, int D>
__device__ inline void keep_queries(const Attention& op, const Tile& tile, int lane, Element* to) {
  uint32_t queries[D / 16][4];
  load_queries<Element, D>(op, tile, lane, queries);
#pragma unroll
  for (int i = 0; i < D / 4; ++i) {
    reinterpret_cast<uint32_t*>(to)[(i % 2 * (D / 8) + i / 4 * 2 + i % 4 / 2) * kWarp + lane] = queries[i / 4][i % 4];
  }
}

}  // namespace kvasir::cuda
