#pragma once
// The gated MLP: down(activation(gate(x)) * up(x)).
#include "model/layer.h"

namespace kvasir {

class GatedFeedForward : public FeedForward {
 public:
  GatedFeedForward(const GatedSpec& spec, const LayerParts& parts);

  void forward(const LayerContext& context, View in, View out) const override;
  void reserve(Workspace& workspace) const override { scratch(workspace); }
  size_t weight_bytes() const override { return gate_->bytes + up_->bytes + down_->bytes; }

 private:
  struct Scratch {
    View gate, up;  // [T, size]
  };
  Scratch scratch(Workspace& workspace) const;

  const GatedSpec spec_;
  const DType product_type_;
  Matrix gate_, up_, down_;
  Vector gate_bias_, up_bias_, down_bias_;
};

}  // namespace kvasir
