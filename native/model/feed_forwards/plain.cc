#include "model/feed_forwards/plain.h"

namespace kvasir {

PlainFeedForward::PlainFeedForward(const PlainSpec& spec, const LayerParts& parts)
    : spec_(spec), product_type_(parts.backend.activations(parts.config.compute).input) {
  const LayerWeights& weights = parts.weights;
  const int hidden = parts.config.spec.hidden_size;
  up_ = weights.matrix("up", spec.size, hidden);
  down_ = weights.matrix("down", hidden, spec.size);
  up_bias_ = weights.vector_if_present("up_bias", spec.size);
  down_bias_ = weights.vector_if_present("down_bias", hidden);
}

void PlainFeedForward::forward(const LayerContext& context, View in, View out) const {
  Workspace workspace = context.workspace;
  const View up = scratch(workspace);
  const int tokens = context.step.tokens;
  const Projection to_up{up_.get(), view(up_bias_), up}, to_out{down_.get(), view(down_bias_), out};
  context.backend.run(Matmul{.x = in, .rows = tokens, .outputs = {to_up}, .epilogue = Epilogue::Activate, .activation = spec_.activation});
  context.backend.run(Matmul{.x = up, .rows = tokens, .outputs = {to_out}});
}

}  // namespace kvasir
