// attention on the tensor cores, for caches of 16 bits: see ops/attention.h
//
// mma.sync m16n8k16 in the cache's type, float32 sums. The M of a tile are 16 queries of one kv head: the heads of its group, of one token
// or of several of a row. Keys and values go from the pages to registers: a lane reads 8 dimensions of a key in 16 bytes, 4 values of a
// dimension in 8 (which k that is in the instruction, is the same for both operands, so it may be chosen).
//
// Order: tiles of 64 keys, splits of kSplitKeys, both with borders at multiples in absolute positions. A split begins with an empty state
// (largest score, sum of exp(score - largest), sum of values with these weights), to which its tiles are added ascending; the states of the
// splits are merged ascending. A tile of which a query sees nothing changes no bit of its state. So whether one warp runs all splits
// (prompts) or each warp one (decode), and whichever queries share a tile, a query's bits depend on it and the cache alone.
//
// Bytes: K and V of a row once a tile of queries; operations: 4 * D per query head and key. Decode is limited by latency at short contexts
// and by memory at long ones, prompts by the operands' way from L1.
#include "cuda/kernels/activations.cuh"
#include "cuda/kernels/attention_tensor.h"
#include "cuda/kernels/barrier.cuh"
#include "cuda/kernels/kv.cuh"
#include "cuda/kernels/launch.h"
#include "cuda/kernels/mma.cuh"
#include "cuda/kernels/warp.cuh"

namespace kvasir::cuda {
namespace {

constexpr int kPage = 16;
constexpr int kTileKeys = 64;
constexpr int kSplitKeys = 128;
constexpr int kPromptWarps = 4;
constexpr int kDecodeWarps = 8;

// Of the queries g (0) and g + 8 (1) of a tile, this lane's share.
template <int D>
struct State {
  float largest[2];
  float weight[2];
  float values[D / 8][4];  // [.. of dimension 8 i + 2 t, + 1] of query g, then of g + 8
};

template <int D>
__device__ inline void clear(State<D>& state) {
  for (int q = 0; q < 2; ++q) state.largest[q] = -INFINITY, state.weight[q] = 0;
  for (auto& four : state.values) {
    for (float& value : four) value = 0;
  }
}

// What the factor of a part is when it joins another: e^(own - both), 0 for an empty one.
__device__ inline float factor(float own, float both) {
  return own == -INFINITY ? 0.0f : expf(own - both);
}

template <int D>
__device__ inline void merge(State<D>& into, const State<D>& part) {
  float old_factor[2], new_factor[2];
  for (int q = 0; q < 2; ++q) {
    const float both = fmaxf(into.largest[q], part.largest[q]);
    old_factor[q] = factor(into.largest[q], both);
    new_factor[q] = factor(part.largest[q], both);
    into.weight[q] = fmaf(part.weight[q], new_factor[q], into.weight[q] * old_factor[q]);
    into.largest[q] = both;
  }
  for (int i = 0; i < D / 8; ++i) {
    for (int j = 0; j < 4; ++j) into.values[i][j] = fmaf(part.values[i][j], new_factor[j / 2], into.values[i][j] * old_factor[j / 2]);
  }
}

// 16 queries of one row and kv head: query m is token first_token + m / group, head kv_head * group + first_head + m % group.
struct Tile {
  int row;
  int kv_head;
  int first_token;
  int first_head;  // within the group
  int group;       // query heads of the tile's tokens
  int queries;     // those that are there
  int position;    // of first_token
};

__device__ inline int position_of(const Tile& tile, int m) {
  return m < tile.queries ? tile.position + m / tile.group : -1;
}

// Operand A: the queries, scaled. In a block of 32 dimensions lane t has 8 t .. 8 t + 7.
template <class Element, int D>
__device__ inline void load_queries(const Attention& op, const Tile& tile, int lane, uint32_t (&a)[D / 16][4]) {
  const int g = lane / 4, t = lane % 4, group = op.query_heads / op.cache.kv_heads;
  for (int step = 0; step < D / 16; ++step) {
    for (int reg = 0; reg < 4; ++reg) {
      const int m = g + reg % 2 * 8, d = step / 2 * 32 + t * 8 + step % 2 * 4 + reg / 2 * 2;
      float low = 0, high = 0;
      if (m < tile.queries) {
        const float* q =
            row_of(op.q, tile.first_token + m / tile.group) + int64_t(tile.kv_head * group + tile.first_head + m % tile.group) * D + d;
        low = q[0] * op.scale;
        high = q[1] * op.scale;
      }
      a[step][reg] = pack(Element(), low, high);
    }
  }
}

// Adds what the queries see of the keys [start, start + 64) to their state. `first` and `last` are the keys that any of them sees.
template <class Element, int D>
__device__ inline void attend(const Attention& op, const PageTables& tables, const Tile& tile, const uint32_t (&queries)[D / 16][4],
                              int start, int first, int last, int lane, State<D>& state) {
  const int g = lane / 4, t = lane % 4;
  float scores[kTileKeys / 8][4] = {};  // of keys 16 page + 4 t + 2 half, + 1, where i = 2 page + half
  int64_t pages[kTileKeys / kPage];
#pragma unroll
  for (int page = 0; page < kTileKeys / kPage; ++page) {
    const int key = start + page * kPage;
    const bool seen = key <= last && key + kPage > first;
    pages[page] = seen ? page_of(tables, tile.row, key, kPage) : -1;
    if (!seen) continue;
    const Element* keys = head_of<Element>(op.cache.k, op.cache, pages[page], tile.kv_head);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Element* own = keys + (g / 2 * 4 + half * 2 + g % 2) * D;
#pragma unroll
      for (int block = 0; block < D / 32; ++block) {
        const uint4 k = *reinterpret_cast<const uint4*>(own + block * 32 + t * 8);
        mma(Element(), scores[2 * page + half], queries[2 * block], k.x, k.y);
        mma(Element(), scores[2 * page + half], queries[2 * block + 1], k.z, k.w);
      }
    }
  }
  const int position[2] = {position_of(tile, g), position_of(tile, g + 8)};
  const int begin[2] = {first_seen(op.window, position[0]), first_seen(op.window, position[1])};
  float largest[2] = {state.largest[0], state.largest[1]}, weights[2] = {};
#pragma unroll
  for (int i = 0; i < kTileKeys / 8; ++i) {
    for (int j = 0; j < 4; ++j) {
      const int key = start + i / 2 * kPage + t * 4 + i % 2 * 2 + j % 2, q = j / 2;
      if (key > position[q] || key < begin[q]) scores[i][j] = -INFINITY;
      largest[q] = fmaxf(largest[q], scores[i][j]);
    }
  }
  for (int q = 0; q < 2; ++q) {  // of the four lanes of a query
    largest[q] = fmaxf(largest[q], __shfl_xor_sync(0xffffffffu, largest[q], 1));
    largest[q] = fmaxf(largest[q], __shfl_xor_sync(0xffffffffu, largest[q], 2));
  }
#pragma unroll
  for (int i = 0; i < kTileKeys / 8; ++i) {
    for (int j = 0; j < 4; ++j) {
      const float weight = scores[i][j] == -INFINITY ? 0.0f : expf(scores[i][j] - largest[j / 2]);
      scores[i][j] = weight;
      weights[j / 2] += weight;
    }
  }
  float rescale[2];
  for (int q = 0; q < 2; ++q) {
    weights[q] += __shfl_xor_sync(0xffffffffu, weights[q], 1);
    weights[q] += __shfl_xor_sync(0xffffffffu, weights[q], 2);
    rescale[q] = factor(state.largest[q], largest[q]);
    state.weight[q] = fmaf(state.weight[q], rescale[q], weights[q]);
    state.largest[q] = largest[q];
  }
  for (int i = 0; i < D / 8; ++i) {
    for (int j = 0; j < 4; ++j) state.values[i][j] *= rescale[j / 2];
  }
#pragma unroll
  for (int page = 0; page < kTileKeys / kPage; ++page) {
    if (pages[page] < 0) continue;
    const float(&low)[4] = scores[2 * page], (&high)[4] = scores[2 * page + 1];
    const uint32_t a[4] = {pack(Element(), low[0], low[1]), pack(Element(), low[2], low[3]), pack(Element(), high[0], high[1]),
                           pack(Element(), high[2], high[3])};
    const Element* values = head_of<Element>(op.cache.v, op.cache, pages[page], tile.kv_head);
    // Places that no token has written yet may hold anything, and 0 * NaN is not 0.
    const int written = last - (start + page * kPage) + 1 - t * 4;
#pragma unroll
    for (int i = 0; i < D / 8; ++i) {
      uint2 v = *reinterpret_cast<const uint2*>(values + (i * 8 + g) * kPage + t * 4);
      if (written < 4) {
        v.x = written <= 0 ? 0 : written == 1 ? v.x & 0xffffu : v.x;
        v.y = written <= 2 ? 0 : v.y & 0xffffu;
      }
      mma(Element(), state.values[i], a, v.x, v.y);
    }
  }
}

// The keys that some query of the tile sees.
struct Range {
  int first;
  int last;
};
__device__ inline Range range_of(const Attention& op, const Tile& tile) {
  return {first_seen(op.window, tile.position), tile.position + (tile.queries - 1) / tile.group};
}

template <class Element, int D>
__device__ inline void attend_split(const Attention& op, const PageTables& tables, const Tile& tile, const uint32_t (&queries)[D / 16][4],
                                    int split, Range range, int lane, State<D>& state) {
  clear(state);
  for (int start = split * kSplitKeys; start < (split + 1) * kSplitKeys && start <= range.last; start += kTileKeys) {
    if (start + kTileKeys <= range.first) continue;
    attend<Element, D>(op, tables, tile, queries, start, range.first, range.last, lane, state);
  }
}

template <int D>
__device__ inline void write_out(const Attention& op, const Tile& tile, const State<D>& state, int lane) {
  const int g = lane / 4, t = lane % 4, group = op.query_heads / op.cache.kv_heads;
  for (int q = 0; q < 2; ++q) {
    const int m = g + q * 8;
    if (m >= tile.queries) continue;
    const int64_t column = int64_t(tile.kv_head * group + tile.first_head + m % tile.group) * D + 2 * t;
    for (int i = 0; i < D / 8; ++i) {
      store_pair(op.out, tile.first_token + m / tile.group, column + i * 8, state.values[i][2 * q] / state.weight[q],
                 state.values[i][2 * q + 1] / state.weight[q]);
    }
  }
}

// Prompts: a warp a tile of 16 / group tokens of the step, which may belong to several rows: one after the other.
template <class Element, int D>
__global__ void __launch_bounds__(kPromptWarps* kWarp)
    attend_prompts(Attention op, const int32_t* row_of_token, const int32_t* positions, PageTables tables, int tokens, int heads_of_tile,
                   int tokens_of_tile) {
  let_next_kernel_start();
  wait_for_kernel_before();
  const int lane = threadIdx.x % kWarp, group = op.query_heads / op.cache.kv_heads, kv_head = blockIdx.y;
  const int begin = (blockIdx.x * kPromptWarps + threadIdx.x / kWarp) * tokens_of_tile, end = min(tokens, begin + tokens_of_tile);
  for (int token = begin; token < end;) {
    const int row = row_of_token[token];
    int next = token + 1;
    while (next < end && row_of_token[next] == row) ++next;
    for (int head = 0; row >= 0 && head < group; head += heads_of_tile) {
      const int heads = min(heads_of_tile, group - head);
      const Tile tile{row, kv_head, token, head, heads, (next - token) * heads, positions[token]};
      const Range range = range_of(op, tile);
      uint32_t queries[D / 16][4];
      load_queries<Element, D>(op, tile, lane, queries);
      State<D> state, part;
      clear(state);
      for (int split = range.first / kSplitKeys; split * kSplitKeys <= range.last; ++split) {
        attend_split<Element, D>(op, tables, tile, queries, split, range, lane, part);
        merge(state, part);
      }
      write_out(op, tile, state, lane);
    }
    token = next;
  }
}

// Decode: a block a token and kv head; in each round every warp runs a split, and the first merges them in their order.
template <class Element, int D>
__global__ void __launch_bounds__(kDecodeWarps* kWarp)
    attend_decodes(Attention op, const int32_t* row_of_token, const int32_t* positions, PageTables tables, int heads_of_tile) {
  extern __shared__ float shared[];  // [warps][lanes] states
  let_next_kernel_start();
  wait_for_kernel_before();
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, token = blockIdx.x, group = op.query_heads / op.cache.kv_heads;
  if (row_of_token[token] < 0) return;
  const int head = blockIdx.z * heads_of_tile, heads = min(heads_of_tile, group - head);
  const Tile tile{row_of_token[token], static_cast<int>(blockIdx.y), token, head, heads, heads, positions[token]};
  const Range range = range_of(op, tile);
  uint32_t queries[D / 16][4];
  load_queries<Element, D>(op, tile, lane, queries);
  State<D> state, part;
  clear(state);
  constexpr int kFloats = sizeof(State<D>) / sizeof(float);
  for (int round = range.first / kSplitKeys; round * kSplitKeys <= range.last; round += kDecodeWarps) {
    attend_split<Element, D>(op, tables, tile, queries, round + warp, range, lane, part);
    const float* own = reinterpret_cast<const float*>(&part);
#pragma unroll
    for (int i = 0; i < kFloats; ++i) shared[(warp * kFloats + i) * kWarp + lane] = own[i];
    __syncthreads();
    for (int other = 0; warp == 0 && other < kDecodeWarps && (round + other) * kSplitKeys <= range.last; ++other) {
      float* read = reinterpret_cast<float*>(&part);
#pragma unroll
      for (int i = 0; i < kFloats; ++i) read[i] = shared[(other * kFloats + i) * kWarp + lane];
      merge(state, part);
    }
    __syncthreads();
  }
  if (warp == 0) write_out(op, tile, state, lane);
}

template <class Element, int D>
void launch_kernel(const Attention& op, cudaStream_t stream) {
  const StepInputs& step = *op.step;
  const int group = op.query_heads / op.cache.kv_heads, heads = std::min(16, group), tokens = 16 / heads;
  if (step.tokens == step.rows) {
    const Grid grid{.blocks = dim3(step.tokens, op.cache.kv_heads, (group + heads - 1) / heads),
                    .threads = kDecodeWarps * kWarp,
                    .shared = kDecodeWarps * kWarp * sizeof(State<D>)};
    cuda::launch("attention of decodes", attend_decodes<Element, D>, grid, stream, op, step.row_of_token, step.positions,
                 step.tables[op.group], heads);
  } else {
    const int tiles = (step.tokens + tokens - 1) / tokens;
    const Grid grid{.blocks = dim3((tiles + kPromptWarps - 1) / kPromptWarps, op.cache.kv_heads), .threads = kPromptWarps * kWarp};
    cuda::launch("attention of prompts", attend_prompts<Element, D>, grid, stream, op, step.row_of_token, step.positions,
                 step.tables[op.group], step.tokens, heads, tokens);
  }
}

template <class Element>
void launch_size(const Attention& op, cudaStream_t stream) {
  switch (op.cache.head_size) {
    case 64:
      return launch_kernel<Element, 64>(op, stream);
    case 96:
      return launch_kernel<Element, 96>(op, stream);
    default:
      return launch_kernel<Element, 128>(op, stream);
  }
}

}  // namespace

bool can_run_tensor(const Attention& op) {
  const int D = op.cache.head_size;
  return op.out.type == DType::BF16 && op.cache.k.type != DType::F32 && op.cache.page_size == kPage && (D == 64 || D == 96 || D == 128);
}

void run_tensor(const Attention& op, cudaStream_t stream) {
  if (op.cache.k.type == DType::F16) return launch_size<__half>(op, stream);
  launch_size<__nv_bfloat16>(op, stream);
}

}  // namespace kvasir::cuda
