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

// sums[tile] += W x over a chunk.
template <DType type, int tiles>
__device__ inline void multiply_raw(const Raw<type>& raw, const Operand<tiles>& x, float (&sums)[tiles][4]) {
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
template <DType type, int tiles>
__device__ inline void multiply_chunk(const uint8_t* piece, int chunk, int lane, const Operand<tiles>& x, float (&sums)[tiles][4]) {
  Raw<type> raw;
  load_chunk(piece, chunk, lane, raw);
  multiply_raw<type, tiles>(raw, x, sums);
}

// A warp's range, of any k: x of each piece is asked for as its weights come.
template <DType type, int tiles>
class AnyRange {
 public:
  static constexpr bool kWhole = false;
  template <class NextPanel>
  using Stream = WeightStream<type, kPiece<type>, true, NextPanel>;

  template <class Stream>
  __device__ AnyRange(const Launch& launch, const uint32_t* const (&rows)[tiles], int begin, int end, Stream&)
      : cols_(launch.cols), rows_(rows), begin_(begin), end_(end) {}

  // sums[tile] += W x over the range of the next panel.
  template <class Stream>
  __device__ void multiply(int lane, Stream& weights, bool, float (&sums)[tiles][4]) {
    for (int piece = begin_; piece < end_; piece += kPiece<type>) {
      if ((piece + kPiece<type>)*kChunk > cols_) return multiply_last(piece, end_ - piece, lane, weights, sums);
      PieceX<type, tiles> x;
      load_piece<type, tiles>(rows_, piece, x);
      const uint8_t* bytes = weights.take();
#pragma unroll
      for (int i = 0; i < kPiece<type>; ++i) multiply_chunk<type, tiles>(bytes, i, lane, x[i], sums);
      weights.release();
    }
  }

 private:
  // A piece of `count` chunks, beyond which K ends.
  template <class Stream>
  __device__ void multiply_last(int first, int count, int lane, Stream& weights, float (&sums)[tiles][4]) {
    const uint8_t* bytes = weights.take();
#pragma unroll 1
    for (int i = 0; i < count; ++i) {
      Operand<tiles> x;
      load_x(rows_, first + i, x);
      clear_beyond<tiles>(cols_, first + i, lane, x);
      multiply_chunk<type, tiles>(bytes, i, lane, x, sums);
    }
    weights.release();
  }

  const int cols_;
  const uint32_t* const (&rows_)[tiles];
  const int begin_, end_;
};

// As WeightStream, of whole pieces. Where shared memory lies is told in numbers that the compiler can't make again: it would ask the hardware for
// them each time, which takes longer than the copy's beginning.
template <DType type, class NextPanel>
class PieceStream {
 public:
  __device__ PieceStream(uint8_t* ring, uint64_t* full, int stages, int begin, int end, NextPanel next_panel)
      : ring_(ring),
        ring_address_(shared_address(ring)),
        full_(shared_address(full)),
        stages_(stages),
        first_(begin / kPiece<type>),
        count_((end - begin) / kPiece<type>),
        next_panel_(next_panel) {
    asm volatile("" : "+r"(ring_address_), "+r"(full_));
    if (count_ == 0) return;
    if (elect()) {
      for (int stage = 0; stage < stages; ++stage) init_barrier(&full[stage], 1);
      fence_shared_for_async();
    }
    __syncwarp();
#pragma unroll 1
    for (int stage = 0; stage < stages; ++stage) fetch(stage);
  }

  // The next piece, when it has come; one more may be taken before the one before is released.
  __device__ const uint8_t* take() {
#if __CUDA_ARCH__ >= 900
    wait_at(full_ + taken_ * sizeof(uint64_t), phase_);
#else
    wait_for_copies<kStages<type> - 2>();
#endif
    const uint8_t* piece = ring_ + taken_ * kPieceBytes<type>;
    if (++taken_ == stages_) taken_ = 0, phase_ ^= 1;
    return piece;
  }
  // All lanes have what they read of the piece that was taken first.
  __device__ void release() {
    __syncwarp();
    fetch(released_);
    if (++released_ == stages_) released_ = 0;
  }

 private:
  __device__ void fetch(int stage) {
    if (left_ == 0) {
      const uint8_t* panel = next_panel_();
      if (panel != nullptr) from_ = panel + int64_t(first_) * kPieceBytes<type>, left_ = count_;
    }
#if __CUDA_ARCH__ >= 900
    if (left_ > 0 && elect()) {
      const uint32_t barrier = full_ + stage * sizeof(uint64_t);
      expect_bytes_at(barrier, kPieceBytes<type>);
      copy_once_at(ring_address_ + stage * kPieceBytes<type>, from_, kPieceBytes<type>, barrier);
    }
#else
    copy_by_warp(ring_ + stage * kPieceBytes<type>, from_, left_ > 0 ? kPieceBytes<type> : 0);
#endif
    if (left_ > 0) --left_, from_ += kPieceBytes<type>;
  }

  uint8_t* ring_;
  uint32_t ring_address_, full_;
  const int stages_, first_, count_;          // pieces
  int left_ = 0;                              // pieces of the panel that have not been asked for
  int taken_ = 0, phase_ = 0, released_ = 0;  // the next stages to be
  const uint8_t* from_ = nullptr;
  NextPanel next_panel_;
};

// A warp's range where K is whole groups, without a pause between pieces: the next chunk's weights are in registers before this one's are
// multiplied, of the next piece, too. x is `held`, all of a short range's, or a chunk's registers take its place in the next piece as soon as
// they have been multiplied.
inline constexpr int kHeldChunks = 8;

template <DType type, int tiles, bool held>
class WholeRange {
 public:
  static constexpr bool kWhole = true;
  template <class NextPanel>
  using Stream = PieceStream<type, NextPanel>;

  template <class Stream>
  __device__ WholeRange(const Launch&, const uint32_t* const (&rows)[tiles], int begin, int end, Stream& weights)
      : rows_(rows), begin_(begin), count_((end - begin) / kPiece<type>) {
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      if (i < count_) load_piece<type, tiles>(rows, begin + i * kPiece<type>, x_[i]);
    }
    if (count_ > 0) bytes_ = weights.take(), load_chunk(bytes_, 0, threadIdx.x % kWarp, raw_[0]);
  }

  // sums[tile] += W x over the range of the next panel, which may be the last.
  template <class Stream>
  __device__ void multiply(int lane, Stream& weights, bool last, float (&sums)[tiles][4]) {
    if constexpr (held) {
#pragma unroll
      for (int i = 0; i < kPieces; ++i) {
        if (i < count_) multiply_piece(x_[i], 0, lane, weights, last && i + 1 == count_, sums);
      }
    } else {
#pragma unroll 1
      for (int i = 0; i < count_; ++i) {
        const int following = i + 1 < count_ ? i + 1 : 0;
        multiply_piece(x_[0], begin_ + following * kPiece<type>, lane, weights, last && i + 1 == count_, sums);
      }
    }
  }

 private:
  static constexpr int kPieces = held ? kHeldChunks / kPiece<type> : 1;

  // `following`: the first chunk of the piece that takes the place of this one's x.
  template <class Stream>
  __device__ void multiply_piece(PieceX<type, tiles>& x, int following, int lane, Stream& weights, bool last, float (&sums)[tiles][4]) {
#pragma unroll
    for (int i = 0; i < kPiece<type>; ++i) {
      if (i + 1 < kPiece<type>) {
        load_chunk(bytes_, i + 1, lane, raw_[(i + 1) % 2]);
      } else if (!last) {
        bytes_ = weights.take();
        load_chunk(bytes_, 0, lane, raw_[0]);
      }
      multiply_raw<type, tiles>(raw_[i % 2], x[i], sums);
      if constexpr (!held) load_x(rows_, following + i, x[i]);
    }
    weights.release();  // not before its last chunk is in registers, which its products tell
  }

  const uint32_t* const (&rows_)[tiles];
  const int begin_, count_;  // count: pieces
  PieceX<type, tiles> x_[kPieces];
  const uint8_t* bytes_ = nullptr;
  Raw<type> raw_[2];  // of this chunk and of the next one, in turn
};

}  // namespace kvasir::cuda
