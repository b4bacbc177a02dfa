#include "model/layer.h"

#include "model/feed_forwards/gated.h"
#include "model/feed_forwards/plain.h"
#include "model/mixers/attention.h"

namespace kvasir {
namespace {

// The class of each kind of spec.
std::unique_ptr<Mixer> make(const AttentionSpec& spec, const LayerParts& parts) {
  return std::make_unique<AttentionMixer>(spec, parts);
}
std::unique_ptr<FeedForward> make(const GatedSpec& spec, const LayerParts& parts) {
  return std::make_unique<GatedFeedForward>(spec, parts);
}
std::unique_ptr<FeedForward> make(const PlainSpec& spec, const LayerParts& parts) {
  return std::make_unique<PlainFeedForward>(spec, parts);
}

}  // namespace

std::unique_ptr<Mixer> create_mixer(const MixerSpec& spec, const LayerParts& parts) {
  return std::visit([&](const auto& kind) { return make(kind, parts); }, spec);
}

std::unique_ptr<FeedForward> create_feed_forward(const FeedForwardSpec& spec, const LayerParts& parts) {
  return std::visit([&](const auto& kind) { return make(kind, parts); }, spec);
}

}  // namespace kvasir
