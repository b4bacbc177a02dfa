#pragma once
// The two halves of a layer, as the decoder sees them. A kind of either has a file of its own in mixers/ or feed_forwards/, is an
// alternative in model/spec.h, and a case of the factory here.
#include <memory>

#include "model/page_pools.h"
#include "model/spec.h"
#include "model/weights.h"
#include "model/workspace.h"
#include "ops/backend.h"

namespace kvasir {

// What the halves of a layer are made of.
struct LayerParts {
  const ModelConfig& config;
  Backend& backend;
  LayerWeights weights;  // by their names within the layer
  const PagePools& pools;
  const std::vector<Vector>& frequencies;  // of each rope
  int layer;
};

// What all layers of a step share.
struct LayerContext {
  Backend& backend;
  const StepInputs& step;
  Workspace workspace;  // each half's copy begins at the start
};

// out[t] = f(in[t], what came before t in its sequence); both [T, hidden].
class Mixer {
 public:
  virtual ~Mixer() = default;
  virtual void forward(const LayerContext& context, View in, View out) const = 0;
  // Takes what forward() takes, so that it can be counted.
  virtual void reserve(Workspace& workspace) const = 0;
  virtual size_t weight_bytes() const = 0;
};

// out[t] = f(in[t]); both [T, hidden].
class FeedForward {
 public:
  virtual ~FeedForward() = default;
  virtual void forward(const LayerContext& context, View in, View out) const = 0;
  virtual void reserve(Workspace& workspace) const = 0;
  virtual size_t weight_bytes() const = 0;
};

// Read the weights of the spec's kind. Throw INVALID_ARGUMENT for sizes that contradict each other, and what the weights throw.
std::unique_ptr<Mixer> create_mixer(const MixerSpec& spec, const LayerParts& parts);
std::unique_ptr<FeedForward> create_feed_forward(const FeedForwardSpec& spec, const LayerParts& parts);

}  // namespace kvasir
