#pragma once
// Causal grouped-query attention over the paged cache, with rope and what norms and biases the file has.
#include "model/layer.h"

namespace kvasir {

class AttentionMixer : public Mixer {
 public:
  AttentionMixer(const AttentionSpec& spec, const LayerParts& parts);

  void forward(const LayerContext& context, View in, View out) const override;
  void reserve(Workspace& workspace) const override { scratch(workspace); }
  size_t weight_bytes() const override { return q_->bytes + k_->bytes + v_->bytes + o_->bytes; }

 private:
  struct Scratch {
    View q, k, v, mixed;  // [T, heads * D]
  };
  Scratch scratch(Workspace& workspace) const;
  void norm_rows(const LayerContext& context, View heads, int count, const Vector& weight) const;
  // What the op norms heads by: nothing where rows are normed.
  View head_norm(const Vector& weight) const {
    if (!weight || spec_.qk_norm == QkNorm::Row) return {};
    return {weight->address(), DType::F32, spec_.qk_norm == QkNorm::Each ? spec_.head_size : 0};
  }

  const AttentionSpec spec_;
  const Activations activations_;
  const Norm norm_;
  const int window_;
  const Rope rope_;
  const KvLayer cache_;
  Matrix q_, k_, v_, o_;
  Vector q_bias_, k_bias_, v_bias_, o_bias_, q_norm_, k_norm_;
};

}  // namespace kvasir
