#pragma once
// A step's ops as they come, of which a matmul makes the sum of the add_norm that follows it: the norm's kernel then waits for memory once
// less, and what is added is never written by itself (nothing but its add_norm reads it). The bits are those of the ops one by one.
#include <optional>

#include "cuda/kernels.h"

namespace kvasir::cuda {

class FusedOps {
 public:
  explicit FusedOps(cudaStream_t stream) : stream_(stream) {}

  // Now, or with the next one.
  void run(const Op& op);
  // What still waits.
  void finish();

 private:
  cudaStream_t stream_;
  std::optional<Matmul> product_;  // waits for the add_norm that adds it
};

}  // namespace kvasir::cuda
