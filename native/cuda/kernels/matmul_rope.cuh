#pragma once
// The qk_rope_append that follows a matmul of few tokens, made as the sums are written: where the pairs that turn are neighbours, they are
// rows of one panel, and nothing has to wait for a kernel in between. The same numbers as by qk_rope_append.cu.
#include "cuda/kernels/kv.cuh"
#include "cuda/kernels/matmul_launch.cuh"
#include "cuda/kernels/rope.cuh"

namespace kvasir::cuda {

__device__ inline void put_in_cache(const View& part, int64_t place, float x) {
  switch (part.type) {
    case DType::F32:
      return put(static_cast<float*>(part.data) + place, x);
    case DType::F16:
      return put(static_cast<__half*>(part.data) + place, x);
    case DType::BF16:
      return put(static_cast<__nv_bfloat16*>(part.data) + place, x);
    default:
      return put(static_cast<__nv_fp8_e4m3*>(part.data) + place, x);
  }
}

// One sum on its way to q, or to the keys or values of the cache. Made early: what it reads are inputs of the step.
class RotatedSum {
 public:
  RotatedSum() = default;
  // Row n of a part's output, of a token; `present`: if there are such.
  __device__ RotatedSum(const RopeLaunch& rope, const Part& part, int n, int token, bool present)
      : n_(n), token_(token), present_(present) {
    if (!present) return;
    const KvLayer& cache = rope.cache;
    const int size = cache.head_size, d = n % size, position = rope.positions[token];
    if (part.output < 2 && d < 2 * rope.rope.pairs) turns_ = true, by_ = rotation_of(rope.rope, position, d / 2);
    if (part.output == 0) return;
    const int row = rope.row_of_token[token];
    if (row < 0) return;  // padding
    const int64_t page = page_of(rope.tables, row, position, cache.page_size);
    const int64_t head = page * (part.output == 1 ? cache.k : cache.v).stride + int64_t(n / size) * cache.page_size * size;
    place_ = head + (part.output == 1 ? key_place(cache, position, d) : value_place(cache, position, d));
  }

  // Of all lanes of a warp, whose neighbours have the other one of a pair.
  __device__ void put(const RopeLaunch& rope, const Part& part, float y) const {
    const float other = __shfl_xor_sync(0xffffffffu, y, 1);
    if (turns_) y = n_ % 2 == 0 ? first_rotated(y, other, by_) : second_rotated(other, y, by_);
    if (!present_) return;
    if (part.output == 0) return store(part.y, token_, n_, y);
    if (place_ >= 0) put_in_cache(part.output == 1 ? rope.cache.k : rope.cache.v, place_, y);
  }

 private:
  int n_, token_;
  bool present_, turns_ = false;
  Rotation by_;
  int64_t place_ = -1;  // in the cache's elements
};

}  // namespace kvasir::cuda
