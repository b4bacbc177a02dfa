#include "cuda/fused_ops.h"

#include <utility>

namespace kvasir::cuda {

void FusedOps::run(const Op& op) {
  if (const auto* norm = std::get_if<AddNorm>(&op)) return run_norm(*norm);
  if (const auto* rope = std::get_if<QkRopeAppend>(&op)) return run_rope(*rope);
  finish();
  if (const auto* product = std::get_if<Matmul>(&op)) return run_matmul(*product);
  std::visit([this](const auto& each) { cuda::run(each, stream_); }, op);
}

void FusedOps::run_rope(const QkRopeAppend& rope) {
  if (product_ && makes_rope(*product_, rope)) {
    const auto product = std::exchange(product_, {});
    return cuda::run(*product, stream_, {.scales = scales_of(*product), .rope = &rope}, memory_);
  }
  finish();
  cuda::run(rope, stream_);
}

void FusedOps::run_norm(const AddNorm& norm) {
  RowScales left;
  if (product_ && !can_add(*product_)) finish();
  if (const auto product = std::exchange(product_, {})) {
    left = cuda::run(*product, norm, stream_, scales_of(*product), scales_, memory_);
  } else {
    if (leaves_scales(norm)) left.values = scales_;
    cuda::run(norm, stream_, left.values);
  }
  if (left.values != nullptr) {
    left_of_ = norm.y.data, left_ = left;
  } else if (norm.y.data == left_of_) {
    left_of_ = nullptr;
  }
}

void FusedOps::run_matmul(const Matmul& product) {
  if (can_add(product) || can_rope(product)) {
    product_ = product;
  } else {
    cuda::run(product, stream_, {.scales = scales_of(product)}, memory_);
  }
}

void FusedOps::finish() {
  if (const auto product = std::exchange(product_, {})) cuda::run(*product, stream_, {.scales = scales_of(*product)}, memory_);
}

}  // namespace kvasir::cuda
