#pragma once
// The plain MLP: down(activation(up(x))).
#include "model/layer.h"

namespace kvasir {

class PlainFeedForward : public FeedForward {
 public:
  PlainFeedForward(const PlainSpec& spec, const LayerParts& parts);

  void forward(const LayerContext& context, View in, View out) const override;
  void reserve(Workspace& workspace) const override { scratch(workspace); }
  size_t weight_bytes() const override { return up_->bytes + down_->bytes; }

 private:
  View scratch(Workspace& workspace) const { return workspace.take(spec_.size, product_type_); }  // [T, size]

  const PlainSpec spec_;
  const DType product_type_;
  Matrix up_, down_;
  Vector up_bias_, down_bias_;
};

}  // namespace kvasir
