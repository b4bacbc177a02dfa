#include "cuda/fused_ops.h"

#include <algorithm>
#include <utility>

namespace kvasir::cuda {

size_t FusedOps::scale_floats(int tokens) {
  constexpr int kTile = 128;  // of a prompt: its scales are read together, those beyond the last token, too
  return std::max<size_t>((tokens + kTile - 1) / kTile * kTile, size_t(kMostNormedRows) * parts_of(kMostScaledCols));
}

void FusedOps::run(const Op& op) {
  if (const auto* norm = std::get_if<AddNorm>(&op)) return run_norm(*norm);
  finish();
  if (const auto* product = std::get_if<Matmul>(&op)) return run_matmul(*product);
  std::visit([this](const auto& each) { cuda::run(each, stream_); }, op);
}

void FusedOps::run_norm(const AddNorm& norm) {
  const bool adds = product_ && can_add(*product_, norm), leaves = leaves_scales(norm);
  AddNorm rest = norm;
  if (adds) {
    const Matmul product = *std::exchange(product_, {});
    const RowScales scales = scales_of(product);
    // Not where it reads scales or the last y itself: its blocks would still read what others write.
    const bool norms = leaves && can_norm(product) && scales.values == nullptr && product.x.data != norm.y.data;
    const RowScales left{.values = norms ? scales_ : nullptr, .cols = norm.cols, .epsilon = norm.norm.epsilon};
    cuda::run(product, stream_, {.scales = scales, .add = &norm, .left = left}, split_);
    if (norms) left_of_ = norm.y.data, left_ = left;
    if (norms || !norm.y) return;
    rest.delta = {};
  }
  finish();
  cuda::run(rest, stream_, leaves ? scales_ : nullptr);
  if (leaves) {
    left_of_ = norm.y.data, left_ = {.values = scales_};
  } else if (norm.y.data == left_of_) {
    left_of_ = nullptr;
  }
}

void FusedOps::run_matmul(const Matmul& product) {
  if (can_add(product)) {
    product_ = product;
  } else {
    cuda::run(product, stream_, {.scales = scales_of(product)}, split_);
  }
}

void FusedOps::finish() {
  if (const auto product = std::exchange(product_, {})) cuda::run(*product, stream_, {.scales = scales_of(*product)}, split_);
}

}  // namespace kvasir::cuda
