#pragma once
// A warp's range of k of a matmul of few tokens, by mma.sync: x in registers, weights as they stream in.
#include <cstring>

#include "cuda/kernels/matmul_launch.cuh"

namespace kvasir::cuda {

// x of one chunk, [block of 32 k][tile of 8 tokens]: a lane has 8 k of token lane / 4 of a tile.
template <int tiles>
using Operand = uint4[2][tiles];

// Where a lane finds x of chunk 0. In place of tokens that are not there it has the last one: their columns are nobody's.
template <int tiles>
__device__ inline void find_rows(const Launch& launch, int first_token, int lane, const uint32_t* (&rows)[tiles]) {
#pragma unroll
  for (int tile = 0; tile < tiles; ++tile) {
    const int token = min(first_token + tile * kTileRows + lane / 4, launch.rows - 1);
    rows[tile] = reinterpret_cast<const uint32_t*>(tile_address(launch.x, token, 0) + token % kTileRows * 16) + lane % 4;
  }
}

template <int tiles>
__device__ inline void load_x(const uint32_t* const (&rows)[tiles], int chunk, Operand<tiles>& x) {
  constexpr int kChunkWords = kBlockTiles * kTileBytes / 4, kApart = kCoreBytes / 4;
#pragma unroll
  for (int i = 0; i < 2 * tiles; ++i) {
    const uint32_t* word = rows[i % tiles] + int64_t(chunk) * kChunkWords + i / tiles * 4 * kApart;
    x[i / tiles][i % tiles] = {word[0], word[kApart], word[2 * kApart], word[3 * kApart]};
  }
}
template <DType type, int tiles>
using PieceX = Operand<tiles>[kPiece<type>];
template <DType type, int tiles>
__device__ inline void load_piece(const uint32_t* const (&rows)[tiles], int first, PieceX<type, tiles>& x) {
#pragma unroll
  for (int i = 0; i < kPiece<type>; ++i) load_x(rows, first + i, x[i]);
}

// What x has beyond K may be anything: 0 instead.
template <int tiles>
__device__ inline void clear_beyond(int cols, int chunk, int lane, Operand<tiles>& x) {
#pragma unroll
  for (int i = 0; i < 2 * tiles; ++i) {
    if (chunk * kChunk + i / tiles * 32 + lane % 4 * 8 >= cols) x[i / tiles][i % tiles] = {};
  }
}

// sums[tile] += W x over a chunk of a piece.
template <DType type, int tiles>
__device__ inline void multiply_chunk(const uint8_t* piece, int chunk, int lane, const Operand<tiles>& x, float (&sums)[tiles][4]) {
  Raw<type> raw;
  load_chunk(piece, chunk, lane, raw);
#pragma unroll
  for (int block = 0; block < 2; ++block) {
    uint32_t even[4], odd[4];
    unpack<type>(raw, block, even, odd);
#pragma unroll
    for (int tile = 0; tile < tiles; ++tile) {
      mma(__nv_bfloat16(), sums[tile], even, x[block][tile].x, x[block][tile].y);
      mma(__nv_bfloat16(), sums[tile], odd, x[block][tile].z, x[block][tile].w);
    }
  }
}

// The same over the next piece, all of it.
template <DType type, int tiles, class Stream>
__device__ inline void multiply_piece(const PieceX<type, tiles>& x, int lane, Stream& weights, float (&sums)[tiles][4]) {
  const uint8_t* bytes = weights.take();
#pragma unroll
  for (int i = 0; i < kPiece<type>; ++i) multiply_chunk<type, tiles>(bytes, i, lane, x[i], sums);
  weights.release();
}

// The same over a piece of `count` chunks, beyond which K ends.
template <DType type, int tiles, class Stream>
__device__ inline void multiply_last_piece(int cols, const uint32_t* const (&rows)[tiles], int first, int count, int lane, Stream& weights,
                                           float (&sums)[tiles][4]) {
  const uint8_t* bytes = weights.take();
#pragma unroll 1
  for (int i = 0; i < count; ++i) {
    Operand<tiles> x;
    load_x(rows, first + i, x);
    clear_beyond<tiles>(cols, first + i, lane, x);
    multiply_chunk<type, tiles>(bytes, i, lane, x, sums);
  }
  weights.release();
}

// Whence a warp has x of its range: each piece's as its weights come; the next one's while it multiplies this one; or all of it in registers.
// The more registers, the fewer blocks a multiprocessor holds. The last two are for whole pieces.
enum class Fetch { Each, Ahead, Held };
inline constexpr int kHeldChunks = 8;

template <DType type, int tiles, Fetch fetch>
class RangeOfK {
 public:
  __device__ RangeOfK(const Launch& launch, const uint32_t* const (&rows)[tiles], int begin, int end)
      : cols_(launch.cols), rows_(rows), begin_(begin), end_(end) {
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      if (begin + i * kPiece<type> < end) load_piece<type, tiles>(rows, begin + i * kPiece<type>, x_[i]);
    }
  }

  // sums[tile] += W x over the range of the next panel.
  template <class Stream>
  __device__ void multiply(int lane, Stream& weights, float (&sums)[tiles][4]) {
    if constexpr (fetch == Fetch::Held) {
#pragma unroll
      for (int i = 0; i < kPieces; ++i) {
        if (begin_ + i * kPiece<type> < end_) multiply_piece<type, tiles>(x_[i], lane, weights, sums);
      }
    } else {
      multiply_by_pieces(lane, weights, sums);
    }
  }

 private:
  static constexpr int kPieces = fetch == Fetch::Held ? kHeldChunks / kPiece<type> : fetch == Fetch::Ahead ? 1 : 0;

  template <class Stream>
  __device__ void multiply_by_pieces(int lane, Stream& weights, float (&sums)[tiles][4]) {
    for (int piece = begin_; piece < end_; piece += kPiece<type>) {
      PieceX<type, tiles> x;
      if constexpr (fetch == Fetch::Ahead) {
        std::memcpy(x, x_[0], sizeof x);
        const int next = piece + kPiece<type>;
        load_piece<type, tiles>(rows_, next < end_ ? next : begin_, x_[0]);
      } else {
        if ((piece + kPiece<type>)*kChunk > cols_) {
          multiply_last_piece<type, tiles>(cols_, rows_, piece, end_ - piece, lane, weights, sums);
          return;
        }
        load_piece<type, tiles>(rows_, piece, x);
      }
      multiply_piece<type, tiles>(x, lane, weights, sums);
    }
  }

  const int cols_;
  const uint32_t* const (&rows_)[tiles];
  const int begin_, end_;
  PieceX<type, tiles> x_[kPieces > 0 ? kPieces : 1];
};

}  // namespace kvasir::cuda
