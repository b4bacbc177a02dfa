// attention on the tensor cores: which kernels run a step.
#include "cuda/kernels/attention_tensor.h"

#include "cuda/kernels/launch.h"

namespace kvasir::cuda {

namespace {

// Whether attend_prompt is made for these heads and this device.
bool can_run_wgmma(const Attention& op) {
  return has_wgmma() && op.cache.head_size % 64 == 0;
}

}  // namespace

bool can_run_tensor(const Attention& op) {
  const int D = op.cache.head_size;
  return is_hopper_or_later() && op.out.type == DType::BF16 && op.cache.k.type != DType::F32 && op.cache.page_size == 16 &&
         op.softcap == 0 && (D == 64 || D == 96 || D == 128) && shared_of_few(op) <= most_shared();
}

void run_tensor(const Attention& op, cudaStream_t stream) {
  attend_few(op, stream);
  if (op.step->tokens <= op.step->rows) return;  // no row has more than one token
  (can_run_wgmma(op) ? attend_prompt : attend_many)(op, stream);
}

}  // namespace kvasir::cuda
