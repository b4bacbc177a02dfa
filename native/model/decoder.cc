#include "model/decoder.h"

#include <algorithm>

#include "tensor/status.h"

namespace kvasir {

Decoder::Decoder(const ModelConfig& config, Backend& backend, WeightSource& source, int most_vocab)
    : config_(config), backend_(backend), activations_(backend.activations(config.compute)), pools_(config, backend) {
  const int tokens = config.max_batch_tokens, hidden = config.spec.hidden_size, vocab = config.spec.vocab_size;
  for (const RopeSpec& rope : config.spec.ropes) frequencies_.push_back(upload(backend, rope.frequencies));
  embed_ = source.matrix("embed", vocab, hidden);
  if (config.spec.learned_positions > 0) position_embed_ = source.matrix("position_embed", config.spec.learned_positions, hidden);
  final_norm_ = read_norm(source, "final_norm");
  if (!final_norm_.weight) fail("FILE_INVALID", "tensor final_norm is missing");
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

Decoder::NormWeights Decoder::read_norm(WeightSource& source, const std::string& name) {
  const int hidden = config_.spec.hidden_size;
  NormWeights norm{source.vector_if_present(name, hidden), source.vector_if_present(name + "_bias", hidden)};
  if (norm.bias && !norm.weight) fail("FILE_INVALID", "tensor %s is missing; expected it beside its bias", name.c_str());
  return norm;
}

Decoder::Layer Decoder::read_layer(WeightSource& source, int index) {
  const LayerWeights weights(source, index);
  const LayerParts parts{config_, backend_, weights, pools_, frequencies_, index};
  const LayerSpec& spec = config_.spec.layers[index];
  const int hidden = config_.spec.hidden_size;
  Layer layer{.residual = spec.residual,
              .attn_norm = read_norm(source, weights.name("attn_norm")),
              .mlp_norm = read_norm(source, weights.name("mlp_norm")),
              .post_attn_norm = weights.vector_if_present("post_attn_norm", hidden),
              .post_mlp_norm = weights.vector_if_present("post_mlp_norm", hidden),
              .mixer = create_mixer(spec.mixer, parts),
              .feed_forward = create_feed_forward(spec.feed_forward, parts)};
  const bool mixer_normed = layer.attn_norm.weight || layer.post_attn_norm, mlp_normed = layer.mlp_norm.weight || layer.post_mlp_norm;
  if (!mixer_normed || (!mlp_normed && spec.residual == Residual::Sequential)) {
    fail("FILE_INVALID", "layer %d: the norms of a half are missing; expected one before or after it", index);
  }
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
  backend_.run(
      Embed{.step = &step, .table = embed_.get(), .position_table = position_embed_.get(), .y = x_, .scale = config_.spec.embedding_scale});
  add_norm(step, {}, {}, normed_, &layers_[0].attn_norm);
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (cancelled) fail("CLOSED", "the engine was closed");
    run_halves(context, layers_[i], i + 1 == layers_.size() ? nullptr : &layers_[i + 1].attn_norm);
  }
}

// `next` is the norm of the layer that follows, or none: the final norm is for those rows alone whose logits are wanted.
void Decoder::run_halves(const LayerContext& context, const Layer& layer, const NormWeights* next) {
  const StepInputs& step = context.step;
  layer.mixer->forward(context, normed_, delta_);
  if (layer.residual == Residual::Sequential) {
    add_norm(step, delta_, layer.post_attn_norm, normed_, &layer.mlp_norm);
  } else {
    // Both halves read the same x: the second by its own norm, or what the first has read.
    if (layer.mlp_norm.weight) add_norm(step, {}, {}, normed_, &layer.mlp_norm);
    add_norm(step, delta_, layer.post_attn_norm, {}, nullptr);
  }
  layer.feed_forward->forward(context, normed_, delta_);
  add_norm(step, delta_, layer.post_mlp_norm, next == nullptr ? View{} : normed_, next);
}

void Decoder::compute_logits(const StepInputs& step, int first, int count) {
  const ModelSpec& spec = config_.spec;
  const Weight* head = (lm_head_ ? lm_head_ : embed_).get();
  backend_.run(GatherRows{.step = &step, .x = x_, .y = rows_, .first = first, .count = count, .cols = spec.hidden_size});
  backend_.run(AddNorm{.x = rows_,
                       .y = normed_rows_,
                       .weight = view(final_norm_.weight),
                       .bias = view(final_norm_.bias),
                       .rows = count,
                       .cols = spec.hidden_size,
                       .norm = spec.norm});
  backend_.run(Matmul{.x = normed_rows_, .rows = count, .outputs = {Projection{head, {}, logits_}}});
  if (spec.logit_scale == 1 && spec.logit_softcap == 0) return;
  backend_.run(ScaleLogits{.x = logits_, .rows = count, .cols = spec.vocab_size, .scale = spec.logit_scale, .softcap = spec.logit_softcap});
}

size_t Decoder::weight_bytes() const {
  size_t bytes = embed_->bytes + (lm_head_ ? lm_head_->bytes : 0) + (position_embed_ ? position_embed_->bytes : 0);
  for (const Layer& layer : layers_) bytes += layer.mixer->weight_bytes() + layer.feed_forward->weight_bytes();
  return bytes;
}

void Decoder::add_norm(const StepInputs& step, View delta, const Vector& post, View y, const NormWeights* norm) {
  backend_.run(AddNorm{.x = x_,
                       .delta = delta,
                       .delta_scale = config_.spec.residual_scale,
                       .post_weight = view(post),
                       .y = y,
                       .weight = norm == nullptr ? View{} : view(norm->weight),
                       .bias = norm == nullptr ? View{} : view(norm->bias),
                       .rows = step.tokens,
                       .cols = config_.spec.hidden_size,
                       .norm = config_.spec.norm});
}

}  // namespace kvasir
