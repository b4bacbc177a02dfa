#pragma once
// The state of a split of keys (attention_state.cuh): its pages, its scores, its weights, and by mma.sync all of it.
#include "cuda/kernels/attention_state.cuh"
#include "cuda/kernels/barrier.cuh"

namespace kvasir::cuda {

// A head's keys, or values, of a split.
template <class Element, int D>
using Pages = Element[kSplitPages][kPage * D];

// Both, in shared memory, and the barriers at which they arrive.
template <class Element, int D>
struct Split {
  Pages<Element, D> k, v;
};
struct Arrival {
  uint64_t k, v;

  __device__ void init() {
    init_barrier(&k, 1);
    init_barrier(&v, 1);
  }
};

// Begins the copies of a split's pages that have keys of the range: a head's keys, or its values (`part` of the cache). By a whole warp.
// `once`: they are not read again soon.
template <class Element, int D, bool once>
__device__ inline void fetch_pages(const View& part, const KvLayer& cache, const int32_t* pages, int kv_head, int split, KeyRange range,
                                   Pages<Element, D>& to, uint64_t& arrival) {
  const int lane = threadIdx.x % kWarp, page = lane % kSplitPages, key = split * kSplitKeys + page * kPage;
  const bool wanted = lane < kSplitPages && key <= range.last && key + kPage > range.first;
  const uint32_t bytes = __popc(__ballot_sync(0xffffffffu, wanted)) * sizeof to[0];
  if (lane == 0) expect_bytes(&arrival, bytes);
  if (!wanted) return;
  const auto* from = head_of<Element>(part, cache, pages[key / kPage], kv_head);
  (once ? copy_once_at : copy_bulk_at)(shared_address(to[page]), from, sizeof to[0], shared_address(&arrival));
}

template <class Element, int D>
__device__ inline void fetch_split(const Attention& op, const int32_t* pages, int kv_head, int split, KeyRange range, Split<Element, D>& to,
                                   Arrival& arrival) {
  fetch_pages<Element, D, false>(op.cache.k, op.cache, pages, kv_head, split, range, to.k, arrival.k);
  fetch_pages<Element, D, false>(op.cache.v, op.cache, pages, kv_head, split, range, to.v, arrival.v);
}

// Scores of all queries with the split's keys: [2 page + half][..] of the keys 16 page + 8 half + 2 t, + 1.
using Scores = float[kSplitKeys / 8][4];

// The queries' 16 dimensions of a step: of a lane's registers, or of what it kept in shared memory.
template <int steps>
__device__ inline void read_queries(const uint32_t (&queries)[steps][4], int step, uint32_t (&a)[4]) {
  for (int i = 0; i < 4; ++i) a[i] = queries[step][i];
}
__device__ inline void read_queries(const uint4* kept, int step, uint32_t (&a)[4]) {
  const uint4 own = kept[step * kWarp];
  a[0] = own.x, a[1] = own.y, a[2] = own.z, a[3] = own.w;
}

template <class Element, int D, class Queries>
__device__ inline void score(const Queries& queries, const Pages<Element, D>& keys, int start, KeyRange range, int lane, Scores& scores) {
#pragma unroll
  for (int page = 0; page < kSplitPages; ++page) {
    float(&low)[4] = scores[2 * page], (&high)[4] = scores[2 * page + 1];
    for (int i = 0; i < 4; ++i) low[i] = high[i] = 0;
    const int key = start + page * kPage;
    if (key > range.last || key + kPage <= range.first) continue;
#pragma unroll
    for (int step = 0; step < D / 16; ++step) {
      uint32_t a[4];
      read_queries(queries, step, a);
      const uint4 cores = load_cores(keys[page] + step * 2 * 64, 64, 8 * D, lane);
      mma(Element(), low, a, cores.x, cores.y);
      mma(Element(), high, a, cores.z, cores.w);
    }
  }
}

// Scores are exponents of 2: cap * log2(e) * tanh(x / (cap * log2(e))), as tanh(u) = 1 - 2 / (1 + e^2u), off by some 2^-22 of the cap.
__device__ inline void cap_scores(const Attention& op, Scores& scores) {
  if (op.softcap == 0) return;
  const float cap = op.softcap * kLog2E, rate = 2 * reciprocal(op.softcap);
#pragma unroll
  for (int i = 0; i < kSplitKeys / 2; ++i) {
    float& score = scores[i / 4][i % 4];
    score = fmaf(-2 * cap, reciprocal(1 + power_of_two(score * rate)), cap);
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
__device__ inline void weigh(Scores& scores, Totals& totals) {
  float(&largest)[2] = totals.largest, (&weight)[2] = totals.weight;
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

// Operand A of each page's values: the weights of its keys.
using Weights = uint32_t[kSplitPages][4];

template <class Element>
__device__ inline void pack_weights(const Scores& scores, Weights& weights) {
#pragma unroll
  for (int page = 0; page < kSplitPages; ++page) {
    const float(&low)[4] = scores[2 * page], (&high)[4] = scores[2 * page + 1];
    weights[page][0] = pack(Element(), low[0], low[1]), weights[page][1] = pack(Element(), low[2], low[3]);
    weights[page][2] = pack(Element(), high[0], high[1]), weights[page][3] = pack(Element(), high[2], high[3]);
  }
}

// Places that no token has written yet may hold anything, and 0 * NaN is not 0: of the keys 2 t and 2 t + 1, those from `written` on
// become 0.
__device__ inline uint32_t keep_written(uint32_t pair, int first, int written) {
  return first + 1 < written ? pair : first < written ? pair & 0xffffu : 0u;
}

// Sums of the values' columns from `first` on with these weights.
template <class Element, int D, int eights>
__device__ inline void add_values(const Weights& weights, const Pages<Element, D>& values, int first, int start, KeyRange range, int lane,
                                  float (&sums)[eights][4]) {
#pragma unroll
  for (int i = 0; i < eights * 4; ++i) sums[i / 4][i % 4] = 0;
#pragma unroll
  for (int page = 0; page < kSplitPages; ++page) {
    const int key = start + page * kPage, written = range.last - key + 1, t = lane % 4;
    if (written <= 0 || key + kPage <= range.first) continue;
#pragma unroll
    for (int i = 0; i < eights; i += 2) {
      uint4 cores = load_cores(values[page] + first * 8 + i * 64, 8 * D, 64, lane);
      if (written < kPage) {
        cores.x = keep_written(cores.x, 2 * t, written), cores.y = keep_written(cores.y, 8 + 2 * t, written);
        cores.z = keep_written(cores.z, 2 * t, written), cores.w = keep_written(cores.w, 8 + 2 * t, written);
      }
      mma(Element(), sums[i], weights[page], cores.x, cores.y);
      mma(Element(), sums[i + 1], weights[page], cores.z, cores.w);
    }
  }
}

// What the tile's queries weigh a split's keys. `range`: the keys that were fetched.
template <class Element, int D, class Queries>
__device__ inline void weigh_keys(const Attention& op, const Tile& tile, const Queries& queries, const Pages<Element, D>& keys, int start,
                                  KeyRange range, int lane, Weights& weights, Totals& totals) {
  Scores scores;
  score<Element, D>(queries, keys, start, range, lane, scores);
  cap_scores(op, scores);
  hide_unseen(op, tile, start, lane, scores);
  weigh(scores, totals);
  pack_weights<Element>(scores, weights);
}

// f(first, sums) for the values of a split, some columns at a time.
template <class Element, int D, class Function>
__device__ inline void for_each_columns(const Weights& weights, const Pages<Element, D>& values, int start, KeyRange range, int lane,
                                        const Function& f) {
#pragma unroll
  for (int first = 0; first < D; first += kColumns<D>) {
    float sums[kColumns<D> / 8][4];
    add_values<Element, D>(weights, values, first, start, range, lane, sums);
    f(first, sums);
  }
}

}  // namespace kvasir::cuda
