// attention on the tensor cores: which kernels run a step.
#include "cuda/kernels/attention_tensor.h"

#include <algorithm>

#include "cuda/kernels/launch.h"

namespace kvasir::cuda {

bool can_run_tensor(const Attention& op) {
  return is_hopper_or_later() && op.out.type == DType::BF16 && op.cache.k.type != DType::F32 && op.cache.page_size == 16 &&
         has_tensor_size(op.cache.head_size) && std::max(shared_of_few(op), shared_of_many(op)) <= most_shared();
}

void run_tensor(const Attention& op, const QkRopeAppend* rope, cudaStream_t stream) {
  attend_few(op, rope, stream);
  if (is_decode(*op.step)) return;
  (has_wgmma() ? attend_prompt : attend_many)(op, stream);
}

}  // namespace kvasir::cuda
