#pragma once
// What qk_rope_append (ops/qk_rope_append.h) makes of a head, by one warp: for its own kernel and for attention, where that makes it.
// A lane has the dimensions lane, lane + 32, ... in registers. Order of a norm: each lane sums its squares ascending, then the lanes
// pairwise.
#include "cuda/kernels/kv.cuh"
#include "cuda/kernels/warp.cuh"
#include "ops/qk_rope_append.h"

namespace kvasir::cuda {

// Dimensions of a lane.
__host__ __device__ constexpr int shares_of(int size) {
  return (size + kWarp - 1) / kWarp;
}

// f(d, j) for the lane's dimensions of a head; j: which of `shares` it is.
template <int shares, class Function>
__device__ inline void each_dimension(int size, const Function& f) {
#pragma unroll
  for (int j = 0; j < shares; ++j) {
    const int d = threadIdx.x % kWarp + j * kWarp;
    if (d < size) f(d, j);
  }
}

enum class HeadKind { Query, Key, Value };

// A head of a token.
struct Head {
  float* values;
  const float* weight;  // of its norm, if it has one

  __device__ Head(const View& part, const View& norm, int token, int index, int size)
      : values(row_of(part, token) + int64_t(index) * size), weight(norm.data ? row_of(norm, index) : nullptr) {}
};
__device__ inline Head head_of_token(const QkRopeAppend& op, HeadKind kind, int token, int index, int size) {
  if (kind == HeadKind::Query) return Head(op.q, op.q_norm, token, index, size);
  if (kind == HeadKind::Key) return Head(op.k, op.k_norm, token, index, size);
  return Head(op.v, {}, token, index, size);
}

template <int shares>
__device__ inline void center_head(float (&x)[shares], int size) {
  float sum = 0;
  each_dimension<shares>(size, [&](int, int j) { sum += x[j]; });
  const float mean = warp_sum(sum) / static_cast<float>(size);
  each_dimension<shares>(size, [&](int, int j) { x[j] -= mean; });
}

template <int shares>
__device__ inline void norm_head(float (&x)[shares], const float (&weight)[shares], int size, const Norm& norm) {
  if (norm.kind == NormKind::Layer) center_head(x, size);
  float squares = 0;
  each_dimension<shares>(size, [&](int, int j) { squares = fmaf(x[j], x[j], squares); });
  const float scale = scale_of_squares(warp_sum(squares), size, norm.epsilon);
  each_dimension<shares>(size, [&](int, int j) { x[j] = x[j] * scale * weight[j]; });
}

__device__ inline float growth_at(const QueryGrowth& by, int position) {
  return 1.0f + by.growth * log1pf(static_cast<float>(position / by.context));
}

struct Rotation {
  float cos, sin;
};

__device__ inline Rotation rotation_of(const Rope& rope, int position, float frequency) {
  Rotation by;
  sincosf(static_cast<float>(position) * frequency, &by.sin, &by.cos);
  return {by.cos * rope.scale, by.sin * rope.scale};
}

// `head`: the whole of it in shared memory.
template <int shares>
__device__ inline void rotate_head(float (&x)[shares], const float* head, const Rope& rope, const Rotation* rotations) {
  each_dimension<shares>(2 * rope.pairs, [&](int d, int j) {
    const bool is_first = rope.interleaved ? d % 2 == 0 : d < rope.pairs;
    const int apart = rope.interleaved ? 1 : rope.pairs, first = is_first ? d : d - apart;
    const Rotation by = rotations[rope.interleaved ? first / 2 : first];
    const float turned = __fmul_rn(x[j], by.cos), other = __fmul_rn(head[is_first ? d + apart : first], by.sin);
    x[j] = is_first ? __fsub_rn(turned, other) : __fadd_rn(other, turned);
  });
}

}  // namespace kvasir::cuda
