#pragma once
// What the matmuls on tensor cores share: their order of sums, what a launch knows, and a warp's stream of packed weights.
//
// Order: k is cut at multiples of 256 into kRanges ranges of nearly the same length (empty ones where k is short). Each is one chain of
// products on the tensor cores, 16 k at a time, ascending; the ranges' sums are added ascending, then scaled, bias last. That depends on
// K alone, and an accumulator belongs to one token and one n: a row's bits depend neither on the other rows nor on the kernel or the
// instruction (mma.sync and wgmma of every width give the same bits where the order of k is the same).
#include "cuda/kernels/activations.cuh"
#include "cuda/kernels/barrier.cuh"
#include "cuda/kernels/gate.cuh"
#include "cuda/kernels/row_scales.cuh"
#include "cuda/kernels/unpack.cuh"
#include "cuda/kernels/warp.cuh"
#include "ops/matmul.h"

namespace kvasir::cuda {

inline constexpr int kRanges = 8;

// One projection of a launch; its panels are numbered after those of the ones before.
struct Part {
  WeightView weight;
  View bias;
  View y;
  int first_panel;
};

// add_norm's sum, where a matmul of one output makes it in place of y: x += scale * y. And its norm, where there is a y: x * weight, and
// sums of squares for those that read it.
struct Added {
  View x;
  float scale;
  View y;
  const float* weight;
  RowScales left;
};

struct Launch {
  Part parts[Matmul::kMostOutputs];
  int count;
  int panels;  // of all parts; of one where gated
  int cols;
  View x;
  RowScales scales;  // of x; of more than kFewRows tokens never sums of squares
  float unit;        // of the weights: what sums are multiplied by, too
  int rows;
  Activation activation;
  Added added;
  SplitSums split;
  Scratch* scratch;  // the host's
  int stages;        // of a warp's ring of weights: matmul_narrow.cu
  int ranks;         // blocks that share a tile: matmul_wide.cu
};

__host__ __device__ constexpr int groups_of(int cols) {
  return (cols + kGroup - 1) / kGroup;
}

// The first group of a range, of so many groups, and the first chunk.
__device__ inline int first_group(int groups, int range) {
  return groups * range / kRanges;
}
__device__ inline int range_begin(int cols, int range) {
  return min(first_group(groups_of(cols), range) * kGroupChunks, chunks_of(cols));
}

__device__ inline const Part& part_of(const Launch& launch, int panel) {
  int part = 0;
  while (part + 1 < launch.count && panel >= launch.parts[part + 1].first_panel) ++part;
  return launch.parts[part];
}

// The packed bytes of a panel of all parts, or where gated of gate (matrix 0) or up (1).
template <bool gated>
__device__ inline const uint8_t* panel_data(const Launch& launch, int panel, int matrix) {
  const Part& part = gated ? launch.parts[matrix] : part_of(launch, panel);
  return part.weight.data + (panel - part.first_panel) * part.weight.stride;
}

__device__ inline float bias_of(const Part& part, int n) {
  return part.bias.data ? static_cast<const float*>(part.bias.data)[n] : 0.0f;
}

// What the sums of a token are multiplied by, of the tokens' scales, if there are any.
__device__ inline float scale_of(const Launch& launch, const float* scales, int token) {
  return scales ? launch.unit * scales[token] : launch.unit;
}

// y of a sum: the product is rounded, too.
__device__ inline float scaled(float sum, float scale, float bias) {
  return __fmul_rn(sum, scale) + bias;
}

// activation(gate) * up, of the sums.
__device__ inline float gated_product(const Launch& launch, float gate, float up, float scale, int n) {
  return activate_fast(launch.activation, scaled(gate, scale, bias_of(launch.parts[0], n))) *
         scaled(up, scale, bias_of(launch.parts[1], n));
}

// What y will be added to, if to anything: asked for early, as it takes as long as a product of a chunk.
__device__ inline float load_before(const Launch& launch, int token, int n) {
  return launch.added.x.data ? row_of(launch.added.x, token)[n] : 0.0f;
}

// x and what is added to it, rounded as add_norm does it: the product, then the sum.
__device__ inline float sum_of(float x, float y, float scale) {
  return __fadd_rn(x, __fmul_rn(y, scale));
}

// y to its place, or to the sum. Returns what it has put.
__device__ inline float put(const Launch& launch, const Part& part, int token, int n, float y, float before) {
  if (!launch.added.x.data) {
    store(part.y, token, n, y);
    return y;
  }
  return row_of(launch.added.x, token)[n] = sum_of(before, y, launch.added.scale);
}

// Chunks that a warp copies at once: a group, or half of one where that is 4 KiB already.
template <DType type>
inline constexpr int kPiece = is_half(type) ? kGroupChunks / 2 : kGroupChunks;
template <DType type, int chunks = kPiece<type>>
inline constexpr int kPieceBytes = chunks* chunk_bytes(type);
// Pieces that a warp has in shared memory or on their way there, of so many bytes.
template <DType type>
__host__ __device__ constexpr int stages_in(int bytes) {
  return bytes / kPieceBytes<type> < 2 ? 2 : bytes / kPieceBytes<type>;
}
template <DType type>
inline constexpr int kStages = stages_in<type>(8 * 1024);
template <DType type>
inline constexpr int kRingBytes = kStages<type>* kPieceBytes<type>;

// The chunks [begin, end) of one panel after another, a piece of some at a time, in the order in which a warp multiplies them. An elected
// lane starts the copies (before Hopper all lanes copy). `held`: where shared memory lies is told in numbers that the compiler can't make
// again; it would ask the hardware for them each time, which takes longer than the copy's beginning. Tiles of prompts have no registers for
// them, and read weights once a tile, not once a step.
template <DType type, int piece, bool held, class NextPanel>
class WeightStream {
 public:
  // `next_panel()` gives the packed bytes of the warp's next panel, or null; `first` those of one before. `ring` and `full` are the warp's
  // own, of `stages` pieces.
  __device__ WeightStream(uint8_t* ring, uint64_t* full, int stages, int begin, int end, NextPanel next_panel,
                          const uint8_t* first = nullptr)
      : ring_(ring),
        ring_address_(shared_address(ring)),
        full_(shared_address(full)),
        stages_(stages),
        begin_(begin),
        count_(end - begin),
        next_panel_(next_panel) {
    if (held) asm volatile("" : "+r"(ring_address_), "+r"(full_));
    if (count_ == 0) return;
    if (first != nullptr) start(first);
    if (elect()) {
      for (int stage = 0; stage < stages; ++stage) init_barrier(&full[stage], 1);
      fence_shared_for_async();
    }
    __syncwarp();
#pragma unroll 1
    for (int stage = 0; stage < stages; ++stage) fetch(stage);
  }

  // The next piece, when it has come; the one before has been released.
  __device__ const uint8_t* take() {
#if __CUDA_ARCH__ >= 900
    wait_at(full_ + stage_ * sizeof(uint64_t), phase_);
#else
    wait_for_copies<kStages<type> - 1>();
#endif
    return ring_ + stage_ * kBytes;
  }
  // All lanes have in registers what they need of the piece, which its products tell: its place is for the one that follows
  // those under way.
  __device__ void release() {
    __syncwarp();
    fetch(stage_);
    if (++stage_ == stages_) stage_ = 0, phase_ ^= 1;
  }

 private:
  static constexpr int kBytes = kPieceBytes<type, piece>;

  __device__ void start(const uint8_t* panel) {
    from_ = panel + int64_t(begin_ / piece) * kBytes, left_ = count_;
  }

  __device__ void fetch(int stage) {
    if (left_ == 0) {
      const uint8_t* panel = next_panel_();
      if (panel != nullptr) start(panel);
    }
    const int chunks = min(piece, left_), bytes = chunks > 0 ? chunks * chunk_bytes(type) : 0;
#if __CUDA_ARCH__ >= 900
    if (bytes > 0 && elect()) {
      const uint32_t barrier = full_ + stage * sizeof(uint64_t);
      expect_bytes_at(barrier, bytes);
      (held ? copy_once_at : copy_bulk_at)(ring_address_ + stage * kBytes, from_, bytes, barrier);
    }
#else
    copy_by_warp(ring_ + stage * kBytes, from_, bytes);  // a group even where there is nothing left, so that as many are under way
#endif
    left_ -= chunks, from_ += kBytes;
  }

  uint8_t* ring_;
  uint32_t ring_address_, full_;
  const int stages_, begin_, count_;
  int left_ = 0, stage_ = 0, phase_ = 0;  // left: chunks of the panel that have not been asked for
  const uint8_t* from_ = nullptr;
  NextPanel next_panel_;
};

}  // namespace kvasir::cuda
