#include "model/decoder.h"

#include <algorithm>

#include "tensor/status.h"

namespace kvasir {

Decoder::Decoder(const ModelConfig& config, Backend& backend, WeightSource& source, int most_vocab)
    : config_(config), backend_(backend), activations_(backend.activations(config.compute)), pools_(config, backend) {
  const int tokens = config.max_batch_tokens, hidden = config.spec.hidden_size, vocab = config.spec.vocab_size;
  for (const RopeSpec& rope : config.spec.ropes) frequencies_.push_back(upload(backend, rope.frequencies));
  embed_ = source.matrix("embed", vocab, hidden);
  final_norm_ = source.vector("final_norm", hidden);
  lm_head_ = source.matrix_if_present("lm_head", vocab, hidden);
  for (int layer = 0; layer < static_cast<int>(config.spec.layers.size()); ++layer) layers_.push_back(read_layer(source, layer));
  source.check_all_taken();
  x_ = scratch(tokens, hidden, activations_.residual);
  normed_ = scratch(tokens, hidden, activations_.input);
  delta_ = scratch(tokens, hidden, activations_.output);
  rows_ = scratch(activations_.logit_rows, hidden, activations_.residual);
  normed_rows_ = scratch(activations_.logit_rows, hidden, activations_.input);
  logits_ = scratch(activations_.logit_rows, most_vocab, DType::F32);
  allocate_workspace();
}

Decoder::Layer Decoder::read_layer(WeightSource& source, int index) {
  const LayerWeights weights(source, index);
  const LayerParts parts{config_, backend_, weights, pools_, frequencies_, index};
  const LayerSpec& spec = config_.spec.layers[index];
  const int hidden = config_.spec.hidden_size;
  Layer layer;
  layer.attn_norm = weights.vector("attn_norm", hidden);
  layer.post_attn_norm = weights.vector_if_present("post_attn_norm", hidden);
  layer.mlp_norm = weights.vector("mlp_norm", hidden);
  layer.post_mlp_norm = weights.vector_if_present("post_mlp_norm", hidden);
  layer.mixer = create_mixer(spec.mixer, parts);
  layer.feed_forward = create_feed_forward(spec.feed_forward, parts);
  return layer;
}

View Decoder::scratch(int rows, int cols, DType type) {
  memory_.push_back(backend_.allocate(matrix_bytes(rows, cols, type)));
  return {memory_.back()->address(), type, stride_of(cols, type)};
}

// As much as the half that takes most.
void Decoder::allocate_workspace() {
  size_t bytes = 0;
  const auto count = [&](const auto& half) {
    Workspace workspace(config_.max_batch_tokens);
    half.reserve(workspace);
    bytes = std::max(bytes, workspace.used());
  };
  for (const Layer& layer : layers_) {
    count(*layer.mixer);
    count(*layer.feed_forward);
  }
  workspace_ = backend_.allocate(bytes);
}

void Decoder::forward(const StepInputs& step, const std::atomic<bool>& cancelled) {
  const LayerContext context{backend_, step, Workspace(config_.max_batch_tokens, workspace_.get())};
  backend_.run(Embed{.step = &step, .table = embed_.get(), .y = x_, .scale = config_.spec.embedding_scale});
  add_norm(step, {}, {}, normed_, view(layers_[0].attn_norm));
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (cancelled) fail("CLOSED", "the engine was closed");
    const Layer& layer = layers_[i];
    layer.mixer->forward(context, normed_, delta_);
    add_norm(step, delta_, view(layer.post_attn_norm), normed_, view(layer.mlp_norm));
    layer.feed_forward->forward(context, normed_, delta_);
    const bool last = i + 1 == layers_.size();  // the final norm is for those rows alone whose logits are wanted
    add_norm(step, delta_, view(layer.post_mlp_norm), last ? View{} : normed_, last ? View{} : view(layers_[i + 1].attn_norm));
  }
}

void Decoder::compute_logits(const StepInputs& step, int first, int count) {
  const int hidden = config_.spec.hidden_size;
  const Weight* head = (lm_head_ ? lm_head_ : embed_).get();
  backend_.run(GatherRows{.step = &step, .x = x_, .y = rows_, .first = first, .count = count, .cols = hidden});
  backend_.run(AddNorm{
      .x = rows_, .y = normed_rows_, .weight = view(final_norm_), .rows = count, .cols = hidden, .epsilon = config_.spec.norm_epsilon});
  backend_.run(Matmul{.x = normed_rows_, .rows = count, .outputs = {Projection{head, {}, logits_}}});
}

size_t Decoder::weight_bytes() const {
  size_t bytes = embed_->bytes + (lm_head_ ? lm_head_->bytes : 0);
  for (const Layer& layer : layers_) bytes += layer.mixer->weight_bytes() + layer.feed_forward->weight_bytes();
  return bytes;
}

void Decoder::add_norm(const StepInputs& step, View delta, View post_weight, View y, View weight) {
  backend_.run(AddNorm{.x = x_,
                       .delta = delta,
                       .post_weight = post_weight,
                       .y = y,
                       .weight = weight,
                       .rows = step.tokens,
                       .cols = config_.spec.hidden_size,
                       .epsilon = config_.spec.norm_epsilon});
}

}  // namespace kvasir
