#pragma once
// The state of a split of keys (attention_state.cuh): its pages, its scores, its weights, and by mma.sync all of it.
#include "cuda/kernels/attention_state.cuh"
#include "cuda/kernels/barrier.cuh"

namespace kvasir::cuda {

// A head's keys and values of a split, in shared memory, and the barriers at which they arrive.
template <class Element, int D>
struct Split {
  Element k[kSplitPages][kPage * D];
  Element v[kSplitPages][kPage * D];
};
struct Arrival {
  uint64_t k, v;

  __device__ void init() {
    init_barrier(&k, 1);
    init_barrier(&v, 1);
  }
};

// Begins the copies of a split's pages that have keys of the range. By a whole warp.
template <class Element, int D>
__device__ inline void fetch_split(const Attention& op, const PageTables& tables, int row, int kv_head, int split, KeyRange range,
                                   Split<Element, D>& to, Arrival& arrival) {
  const int lane = threadIdx.x % kWarp, page = lane % kSplitPages, key = split * kSplitKeys + page * kPage;
  const bool wanted = lane < kSplitPages && key <= range.last && key + kPage > range.first;
  const uint32_t bytes = __popc(__ballot_sync(0xffffffffu, wanted)) * sizeof to.k[0];
  if (lane == 0) {
    expect_bytes(&arrival.k, bytes);
    expect_bytes(&arrival.v, bytes);
  }
  if (!wanted) return;
  const int64_t where = page_of(tables, row, key, kPage);
  copy_bulk(to.k[page], head_of<Element>(op.cache.k, op.cache, where, kv_head), sizeof to.k[0], &arrival.k);
  copy_bulk(to.v[page], head_of<Element>(op.cache.v, op.cache, where, kv_head), sizeof to.v[0], &arrival.v);
}

// Scores of all queries with the split's keys: [2 page + half][..] of the keys 16 page + 8 half + 2 t, + 1.
using Scores = float[kSplitKeys / 8][4];

template <class Element, int D>
__device__ inline void score(const uint32_t (&queries)[D / 16][4], const Split<Element, D>& split, int start, KeyRange range, int lane,
                             Scores& scores) {
#pragma unroll
  for (int i = 0; i < kSplitKeys / 8; ++i) {
    for (float& value : scores[i]) value = 0;
    const int key = start + i / 2 * kPage;
    if (key > range.last || key + kPage <= range.first) continue;
    const Element* row = split.k[i / 2] + i % 2 * 8 * D + lane / 8 * 64 + lane % 8 * 8;
#pragma unroll
    for (int step = 0; step < D / 16; step += 2) {
      const uint4 cores = load_cores(row + step * 2 * 64);
      mma(Element(), scores[i], queries[step], cores.x, cores.y);
      mma(Element(), scores[i], queries[step + 1], cores.z, cores.w);
    }
  }
}

// What a query doesn't see scores -infinity.
__device__ inline void hide_unseen(const Attention& op, const Tile& tile, int start, int lane, Scores& scores) {
  const int g = lane / 4, t = lane % 4;
  const int position[2] = {position_of(tile, g), position_of(tile, g + 8)};
  const int begin[2] = {first_seen(op.window, position[0]), first_seen(op.window, position[1])};
#pragma unroll
  for (int i = 0; i < kSplitKeys / 8; ++i) {
    for (int j = 0; j < 4; ++j) {
      const int key = start + i * 8 + t * 2 + j % 2, q = j / 2;
      if (key > position[q] || key < begin[q]) scores[i][j] = -INFINITY;
    }
  }
}

// Scores to weights, with their largest and their sum for each query; -infinity weighs 0.
__device__ inline void weigh(Scores& scores, float (&largest)[2], float (&weight)[2]) {
  float most[4] = {scores[0][0], scores[0][1], scores[0][2], scores[0][3]}, from[2];
#pragma unroll
  for (int i = 1; i < kSplitKeys / 8; ++i) {
    for (int j = 0; j < 4; ++j) most[j] = fmaxf(most[j], scores[i][j]);
  }
  for (int q = 0; q < 2; ++q) {  // of the four lanes of a query
    weight[q] = 0;
    largest[q] = fmaxf(most[2 * q], most[2 * q + 1]);
    largest[q] = fmaxf(largest[q], __shfl_xor_sync(0xffffffffu, largest[q], 1));
    largest[q] = fmaxf(largest[q], __shfl_xor_sync(0xffffffffu, largest[q], 2));
    from[q] = largest[q] == -INFINITY ? 0.0f : largest[q];
  }
#pragma unroll
  for (int i = 0; i < kSplitKeys / 8; ++i) {
    for (int j = 0; j < 4; ++j) {
      scores[i][j] = power_of_two(scores[i][j] - from[j / 2]);
      weight[j / 2] += scores[i][j];
    }
  }
  for (int q = 0; q < 2; ++q) {
    weight[q] += __shfl_xor_sync(0xffffffffu, weight[q], 1);
    weight[q] += __shfl_xor_sync(0xffffffffu, weight[q], 2);
  }
}

// Operand A of a page's values: the weights of its keys.
template <class Element>
__device__ inline void pack_weights(const Scores& weights, int page, uint32_t (&a)[4]) {
  const float(&low)[4] = weights[2 * page], (&high)[4] = weights[2 * page + 1];
  a[0] = pack(Element(), low[0], low[1]), a[1] = pack(Element(), low[2], low[3]);
  a[2] = pack(Element(), high[0], high[1]), a[3] = pack(Element(), high[2], high[3]);
}

// Places that no token has written yet may hold anything, and 0 * NaN is not 0: of the keys 2 t and 2 t + 1, those from `written` on become 0.
__device__ inline uint32_t keep_written(uint32_t pair, int first, int written) {
  return first + 1 < written ? pair : first < written ? pair & 0xffffu : 0u;
}

template <class Element, int D>
__device__ inline void add_values(const Scores& weights, const Split<Element, D>& split, int start, KeyRange range, int lane,
                                  State<D>& state) {
#pragma unroll
  for (int i = 0; i < D / 2; ++i) state.values[i / 4][i % 4] = 0;
#pragma unroll
  for (int page = 0; page < kSplitPages; ++page) {
    const int key = start + page * kPage, written = range.last - key + 1, t = lane % 4;
    if (written <= 0 || key + kPage <= range.first) continue;
    uint32_t a[4];
    pack_weights<Element>(weights, page, a);
    const Element* row = split.v[page] + lane / 8 % 2 * 8 * D + lane / 16 * 64 + lane % 8 * 8;
#pragma unroll
    for (int i = 0; i < D / 8; i += 2) {
      uint4 cores = load_cores(row + i * 64);
      if (written < kPage) {
        cores.x = keep_written(cores.x, 2 * t, written), cores.y = keep_written(cores.y, 8 + 2 * t, written);
        cores.z = keep_written(cores.z, 2 * t, written), cores.w = keep_written(cores.w, 8 + 2 * t, written);
      }
      mma(Element(), state.values[i], a, cores.x, cores.y);
      mma(Element(), state.values[i + 1], a, cores.z, cores.w);
    }
  }
}

// The state of a split. `range`: the keys that were fetched.
template <class Element, int D>
__device__ inline void attend_split(const Attention& op, const Tile& tile, const uint32_t (&queries)[D / 16][4],
                                    const Split<Element, D>& memory, Arrival& arrival, int parity, int split, KeyRange range, int lane,
                                    State<D>& state) {
  Scores scores;
  wait(&arrival.k, parity);
  score<Element, D>(queries, memory, split * kSplitKeys, range, lane, scores);
  hide_unseen(op, tile, split * kSplitKeys, lane, scores);
  weigh(scores, state.largest, state.weight);
  wait(&arrival.v, parity);
  add_values<Element, D>(scores, memory, split * kSplitKeys, range, lane, state);
}

}  // namespace kvasir::cuda
