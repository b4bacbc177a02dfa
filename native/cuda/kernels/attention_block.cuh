#pragma once
// What the kernels for rows with many tokens share: which queries a block of 8 warps has, and how its pages take turns.
//
// A block has some tokens of the step, one after the other, and one kv head; each row's part of them is a share. Of a share every warp has a
// tile, and the warps run through the row's splits together, whose pages come to shared memory once for all.
#include "cuda/kernels/attention_split.cuh"
#include "cuda/kernels/attention_tensor.h"

namespace kvasir::cuda {

inline constexpr int kBlockWarps = 8;

// Queries of one row that follow each other, and the keys that some of them see.
struct Share {
  Tile whole;  // as if one tile could have them all
  int tokens;
  KeyRange range;
};

// The share's splits.
__device__ inline int first_split(const Share& share) {
  return share.range.first / kSplitKeys;
}
__device__ inline int last_split(const Share& share) {
  return share.range.last / kSplitKeys;
}

// The share's tokens from `skipped` on, `most` of them.
__device__ inline Tile part_of(const Share& share, int skipped, int most) {
  Tile tile = share.whole;
  tile.first_token += skipped, tile.position += skipped;
  tile.queries = max(0, min(most, share.tokens - skipped)) * tile.heads;
  return tile;
}

// f(share) for the rows with many tokens among a block's tokens [begin, begin + count), `heads_of_tile` heads at a time.
template <class Function>
__device__ inline void for_each_share(const Attention& op, const StepView& step, int begin, int count, int kv_head, int heads_of_tile,
                                      const Function& f) {
  const int group = op.query_heads / op.cache.kv_heads, end = begin + count;
  for (int token = begin, next; token < end; token = next) {
    const int row = step.row_of_token[token];
    next = row < 0 ? end : min(end, step.q_indptr[row + 1]);  // padding comes last
    if (row < 0 || step.q_indptr[row + 1] - step.q_indptr[row] <= kFewTokens) continue;
    const int position = step.positions[token];
    for (int head = 0; head < group; head += heads_of_tile) {
      const Tile whole{.row = row,
                       .kv_head = kv_head,
                       .first_token = token,
                       .first_head = head,
                       .heads = min(heads_of_tile, group - head),
                       .position = position};
      f(Share{whole, next - token, {first_seen(op.window, position), position + next - token - 1}});
    }
  }
}

// Tokens of a block whose tiles have so many heads.
__host__ __device__ constexpr int tokens_of_block(int heads_of_tile) {
  return kBlockWarps * (kQueries / heads_of_tile);
}

// A split that others of the block see: a stage is not filled again before its copies have come.
__device__ inline void wait_for_split(Arrival& arrival, int parity) {
  wait(&arrival.k, parity);
  wait(&arrival.v, parity);
}

// Splits that all warps have run through so far: which stage is whose turn, over all shares of a block.
template <int stages>
struct Turn {
  unsigned count = 0;
  __device__ int stage() const { return count % stages; }
  __device__ int parity() const { return count / stages % 2; }
};

// The results of a warp's tile, in bfloat16: what a lane has of 32 columns lies side by side (activations.cuh), of a head that begins and ends
// within 32 what it has of 16.
template <int D>
__device__ inline void write_out(const Attention& op, const Tile& tile, const State<D>& state, int lane) {
  using Columns = std::conditional_t<D % 32 == 0, uint4, uint2>;
  constexpr int eights = sizeof(Columns) / sizeof(uint32_t);
#pragma unroll
  for (int q = 0; q < 2; ++q) {
    const int m = lane / 4 + q * 8;
    if (m >= tile.queries) continue;
    const float scale = 1 / state.weight[q];
    const int64_t row = tile.first_token + m / tile.heads, column = column_of(op, tile, m, D) + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < D / 8; i += eights) {
      Columns columns;
      for (int j = 0; j < eights; ++j) {
        (&columns.x)[j] = pack(__nv_bfloat16(), state.values[i + j][2 * q] * scale, state.values[i + j][2 * q + 1] * scale);
      }
      *reinterpret_cast<Columns*>(static_cast<__nv_bfloat16*>(op.out.data) + place_in_tiles(op.out.stride, row, column + i * 8)) = columns;
    }
  }
}

}  // namespace kvasir::cuda
