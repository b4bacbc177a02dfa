#pragma once
// A step's ops as they come, some of them made by others:
//
//   - a matmul makes the sum of the add_norm that follows it, so that what is added is never written by itself (nothing but its add_norm
//     reads it)
//   - where no row has more than one token, attention makes the qk_rope_append before it if that is quicker: nothing else reads what that
//     would have left
//   - an add_norm leaves its rows' scales to the matmuls that read y (kernels/row_scales.cuh); y is then made by the matmul before, too,
//     where its kernel can (few tokens, and prompts), and no kernel of the norm's own waits for memory. Which add_norm leaves them is a
//     matter of what it is, never of the tokens' number: the bits of a row are the same in every step
#include <optional>

#include "cuda/kernels.h"

namespace kvasir::cuda {

class FusedOps {
 public:
  // `scales`: floats_of_scales() of the most tokens and columns.
  FusedOps(cudaStream_t stream, float* scales, const MatmulMemory& memory) : stream_(stream), scales_(scales), memory_(memory) {}

  // Now, or with the next one.
  void run(const Op& op);
  // What still waits.
  void finish();

 private:
  void run_norm(const AddNorm& norm);
  void run_attention(const Attention& attention);
  void run_matmul(const Matmul& product);
  // The scales of a matmul's x.
  RowScales scales_of(const Matmul& product) const { return product.x.data == left_of_ ? left_ : RowScales{}; }

  cudaStream_t stream_;
  float* scales_;
  MatmulMemory memory_;
  // What waits for the op that it may make, or be made by; at most one of them.
  std::optional<Matmul> product_;
  std::optional<QkRopeAppend> rope_;
  const void* left_of_ = nullptr;  // the y whose scales were left last
  RowScales left_;
};

}  // namespace kvasir::cuda
