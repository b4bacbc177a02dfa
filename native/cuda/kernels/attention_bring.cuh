#pragma once
// How the splits of a share come into the ring of attend_prompt (attention_wgmma.cuh), by warps that do nothing else.
//
// Pages of 16 bits come as they lie in the cache, by one warp. Those of E4M3 come into the upper half of their place, and the warp whose turn it
// is widens them to float16 on the spot, which is exact: four warps take turns, so that three copies are under way meanwhile.
#include "cuda/kernels/attention_wgmma.cuh"

namespace kvasir::cuda {

template <class Element>
inline constexpr bool kIsWidened = !std::is_same_v<Element, Multiplied<Element>>;
template <class Element>
inline constexpr int kBringers = kIsWidened<Element> ? kGroupWarps : 1;

// The numbers in the upper half of a place as float16 in all of it, by a warp: from the first on, so that none is overwritten before it is read.
template <int D>
__device__ inline void widen(Pages<__half, D>& place, int lane) {
  constexpr int batch = 2, eights = kSplitKeys * D / 8;
  const uint2* from = reinterpret_cast<const uint2*>(place[kSplitPages / 2]);
  uint4* to = reinterpret_cast<uint4*>(place[0]);
#pragma unroll 1
  for (int i = lane; i < eights; i += batch * kWarp) {
    uint2 narrow[batch];
#pragma unroll
    for (int j = 0; j < batch; ++j) narrow[j] = from[i + j * kWarp];
    __syncwarp();  // the last numbers lie where this is written
#pragma unroll
    for (int j = 0; j < batch; ++j) {
      const auto [low, high] = narrow[j];
      to[i + j * kWarp] =
          make_uint4(e4m3_halves(low & 0xffff), e4m3_halves(low >> 16), e4m3_halves(high & 0xffff), e4m3_halves(high >> 16));
    }
  }
}

// A split's keys, or values, into a free place; those who wait for it to be full see them.
template <class Element, int D>
__device__ inline void bring_pages(const Attention& op, const View& part, const PageTables& tables, const Share& share, int split,
                                   PromptMemory<Multiplied<Element>, D>& shared, const Place<D>& turn) {
  const int warp = threadIdx.x / kWarp - kBlockWarps, lane = threadIdx.x % kWarp, place = turn.stage();
  const auto fetch = [&](Pages<Element, D>& to, uint64_t& arrival) {
    fetch_pages<Element, D, false>(part, op.cache, pages_of(tables, share.whole.row), share.whole.kv_head, split, share.range, to, arrival);
  };
  if constexpr (kIsWidened<Element>) {
    fetch(*reinterpret_cast<Pages<Element, D>*>(shared.ring[place][kSplitPages / 2]), shared.copied[warp]);
    wait(&shared.copied[warp], turn.count / kBringers<Element> % 2);
    widen<D>(shared.ring[place], lane);
    fence_shared_for_async();
    __syncwarp();
    if (lane == 0) arrive(&shared.full[place]);
  } else {
    fetch(shared.ring[place], shared.full[place]);
  }
}

// All splits of a share, by the warps that bring them.
template <class Element, int D>
__device__ inline void bring_share(const Attention& op, const PageTables& tables, const Share& share,
                                   PromptMemory<Multiplied<Element>, D>& shared, Place<D>& turn) {
  const int warp = threadIdx.x / kWarp - kBlockWarps;
  const auto bring = [&](const View& part, int split) {
    if (turn.count % kBringers<Element> == warp) {
      if (turn.count >= kPlaces<D>) wait(&shared.empty[turn.stage()], turn.parity() ^ 1);
      bring_pages<Element, D>(op, part, tables, share, split, shared, turn);
    }
    ++turn.count;
  };
  for (int split = first_split(share); split <= last_split(share); ++split) {
    bring(op.cache.k, split);
    bring(op.cache.v, split);
  }
}

}  // namespace kvasir::cuda
