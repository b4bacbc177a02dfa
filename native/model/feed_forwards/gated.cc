#include "model/feed_forwards/gated.h"

namespace kvasir {

GatedFeedForward::GatedFeedForward(const GatedSpec& spec, const LayerParts& parts)
    : spec_(spec), product_type_(parts.backend.activations(parts.config.compute).input) {
  const LayerWeights& weights = parts.weights;
  const int hidden = parts.config.spec.hidden_size;
  gate_ = weights.matrix("gate", spec.size, hidden);
  up_ = weights.matrix("up", spec.size, hidden);
  down_ = weights.matrix("down", hidden, spec.size);
  gate_bias_ = weights.vector_if_present("gate_bias", spec.size);
  up_bias_ = weights.vector_if_present("up_bias", spec.size);
  down_bias_ = weights.vector_if_present("down_bias", hidden);
}

GatedFeedForward::Scratch GatedFeedForward::scratch(Workspace& workspace) const {
  return {workspace.take(spec_.size, product_type_), workspace.take(spec_.size, product_type_)};
}

void GatedFeedForward::forward(const LayerContext& context, View in, View out) const {
  Workspace workspace = context.workspace;
  const auto [gate, up] = scratch(workspace);
  const int tokens = context.step.tokens;
  const Projection to_gate{gate_.get(), view(gate_bias_), gate}, to_up{up_.get(), view(up_bias_), up};
  context.backend.run(
      Matmul{.x = in, .rows = tokens, .outputs = {to_gate, to_up}, .epilogue = Epilogue::Gate, .activation = spec_.activation});
  context.backend.run(Matmul{.x = gate, .rows = tokens, .outputs = {Projection{down_.get(), view(down_bias_), out}}});
}

}  // namespace kvasir
