#include "cuda/fused_ops.h"

#include <utility>

namespace kvasir::cuda {

void FusedOps::run(const Op& op) {
  if (const auto* norm = std::get_if<AddNorm>(&op)) return run_norm(*norm);
  if (const auto* attention = std::get_if<Attention>(&op)) return run_attention(*attention);
  finish();
  if (const auto* rope = std::get_if<QkRopeAppend>(&op)) return void(rope_ = *rope);
  if (const auto* product = std::get_if<Matmul>(&op)) return run_matmul(*product);
  std::visit([this](const auto& each) { cuda::run(each, stream_); }, op);
}

void FusedOps::run_attention(const Attention& attention) {
  if (rope_ && makes_rope(attention, *rope_)) {
    const QkRopeAppend rope = *std::exchange(rope_, {});
    return cuda::run(attention, stream_, &rope);
  }
  finish();
  cuda::run(attention, stream_);
}

void FusedOps::run_norm(const AddNorm& norm) {
  RowScales left;
  if (rope_) finish();
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
  if (can_add(product)) {
    product_ = product;
  } else {
    cuda::run(product, stream_, {.scales = scales_of(product)}, memory_);
  }
}

void FusedOps::finish() {
  if (const auto rope = std::exchange(rope_, {})) cuda::run(*rope, stream_);
  if (const auto product = std::exchange(product_, {})) cuda::run(*product, stream_, {.scales = scales_of(*product)}, memory_);
}

}  // namespace kvasir::cuda
