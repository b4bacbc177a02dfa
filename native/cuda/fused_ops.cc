#include "cuda/fused_ops.h"

#include <utility>

namespace kvasir::cuda {

void FusedOps::run(const Op& op) {
  const auto* norm = std::get_if<AddNorm>(&op);
  if (norm != nullptr && product_ && can_add(*product_, *norm)) {
    cuda::run(*std::exchange(product_, {}), stream_, norm);
    AddNorm rest = *norm;
    rest.delta = {};
    if (rest.y) cuda::run(rest, stream_);
    return;
  }
  finish();
  const auto* product = std::get_if<Matmul>(&op);
  if (product != nullptr && can_add(*product)) {
    product_ = *product;
  } else {
    std::visit([this](const auto& each) { cuda::run(each, stream_); }, op);
  }
}

void FusedOps::finish() {
  if (const auto product = std::exchange(product_, {})) cuda::run(*product, stream_);
}

}  // namespace kvasir::cuda
