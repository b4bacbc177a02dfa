#include "engine/decoder.h"

#include <algorithm>

#include "ops/add.h"
#include "ops/append_kv.h"
#include "ops/attention.h"
#include "ops/embed.h"
#include "ops/rmsnorm.h"
#include "ops/rope.h"
#include "tensor/status.h"

namespace kvasir {
namespace {

// Sizes of the widest layer, in elements per token.
struct Widths {
  size_t q = 0, kv = 0, mlp = 0;
};

Widths widest(const ModelSpec& spec) {
  Widths widths;
  for (const LayerSpec& layer : spec.layers) {
    const size_t head = static_cast<size_t>(layer.attention.head_size);
    widths.q = std::max(widths.q, layer.attention.query_heads * head);
    widths.kv = std::max(widths.kv, layer.attention.kv_heads * head);
    widths.mlp = std::max(widths.mlp, static_cast<size_t>(layer.feed_forward.size));
  }
  return widths;
}

const float* values(const Vector& vector) {
  return vector ? vector->as<float>() : nullptr;
}

}  // namespace

struct Decoder::Step {
  const Batch& batch;
  int count;  // T
  std::vector<int32_t> positions;

  explicit Step(const Batch& source) : batch(source), count(source.token_count()) {
    for (int row = 0; row < source.row_count; ++row) {
      for (int i = 0; i < source.q_indptr[row + 1] - source.q_indptr[row]; ++i) positions.push_back(source.starts[row] + i);
    }
  }
  Rows rows() const { return {batch.row_count, batch.q_indptr.data(), batch.starts.data()}; }
  PageTables tables(int group) const {
    return {batch.kv_indptr.data() + size_t(group) * (batch.row_count + 1), batch.kv_first.data() + size_t(group) * batch.row_count,
            batch.kv_pages.data()};
  }
};

Decoder::Decoder(const EngineConfig& config, Backend& backend, Weights weights)
    : config_(config), backend_(backend), weights_(std::move(weights)), cache_(config, backend) {
  for (const RopeSpec& rope : config.spec.ropes) {
    Vector& table = frequencies_.emplace_back(backend.allocate(std::max<size_t>(1, rope.frequencies.size()) * sizeof(float)));
    std::copy(rope.frequencies.begin(), rope.frequencies.end(), table->as<float>());
  }
  const size_t tokens = static_cast<size_t>(config.max_batch_tokens), hidden = static_cast<size_t>(config.spec.hidden_size);
  const Widths widths = widest(config.spec);
  auto scratch = [&](size_t rows, size_t cols) { return backend.allocate(rows * cols * sizeof(float)); };
  x_ = scratch(tokens, hidden);
  h_ = scratch(tokens, hidden);
  q_ = scratch(tokens, widths.q);
  k_ = scratch(tokens, widths.kv);
  v_ = scratch(tokens, widths.kv);
  mixed_ = scratch(tokens, widths.q);
  gate_ = scratch(tokens, widths.mlp);
  up_ = scratch(tokens, widths.mlp);
  logit_rows_ = scratch(kLogitRows, hidden);
  logits_ = scratch(kLogitRows, static_cast<size_t>(config.spec.vocab_size));
}

void Decoder::forward(const Batch& batch, const std::vector<int32_t>& tokens, const std::atomic<bool>& cancelled) {
  const Step step(batch);
  backend_.embed({weights_.embed.get(), tokens.data(), step.count, config_.spec.embedding_scale, x_->as<float>()});
  for (int layer = 0; layer < static_cast<int>(config_.spec.layers.size()); ++layer) {
    if (cancelled) fail("CLOSED", "the engine was closed");
    attention(step, layer);
    feed_forward(step, layer);
  }
}

// x += post_norm(o(attention(rope(norm(q)), rope(norm(k)), v)))
void Decoder::attention(const Step& step, int layer) {
  const AttentionSpec& spec = config_.spec.layers[layer].attention;
  const RopeSpec& rope = config_.spec.ropes[spec.rope];
  const LayerWeights& weights = weights_.layers[layer];
  const int count = step.count, hidden = config_.spec.hidden_size, pairs = static_cast<int>(rope.frequencies.size());
  float *x = x_->as<float>(), *h = h_->as<float>(), *q = q_->as<float>(), *k = k_->as<float>(), *v = v_->as<float>(),
        *mixed = mixed_->as<float>();

  norm(x, weights.attn_norm, h, count, hidden);
  project(h, count,
          {{weights.q.get(), values(weights.q_bias), q},
           {weights.k.get(), values(weights.k_bias), k},
           {weights.v.get(), values(weights.v_bias), v}});
  if (weights.q_norm) norm(q, weights.q_norm, q, count * spec.query_heads, spec.head_size);
  if (weights.k_norm) norm(k, weights.k_norm, k, count * spec.kv_heads, spec.head_size);
  const float* frequencies = values(frequencies_[spec.rope]);
  backend_.rope({q, step.positions.data(), frequencies, count, spec.query_heads, spec.head_size, pairs, rope.scale, rope.interleaved});
  backend_.rope({k, step.positions.data(), frequencies, count, spec.kv_heads, spec.head_size, pairs, rope.scale, rope.interleaved});
  const PageTables tables = step.tables(spec.cache_group);
  backend_.append_kv({k, v, step.rows(), tables, cache_.layer(layer)});
  const int window = config_.spec.cache_groups[spec.cache_group].window;
  backend_.attention({q, mixed, step.rows(), tables, cache_.layer(layer), spec.query_heads, spec.scale, window});
  project(mixed, count, {{weights.o.get(), values(weights.o_bias), h}});
  if (weights.post_attn_norm) norm(h, weights.post_attn_norm, h, count, hidden);
  backend_.add({x, h, size_t(count) * hidden});
}

// x += post_norm(down(activation(gate(h)) * up(h))), h = norm(x)
void Decoder::feed_forward(const Step& step, int layer) {
  const FeedForwardSpec& spec = config_.spec.layers[layer].feed_forward;
  const LayerWeights& weights = weights_.layers[layer];
  const int count = step.count, hidden = config_.spec.hidden_size;
  float *x = x_->as<float>(), *h = h_->as<float>(), *gate = gate_->as<float>(), *up = up_->as<float>();

  norm(x, weights.mlp_norm, h, count, hidden);
  project(h, count, {{weights.gate.get(), values(weights.gate_bias), gate}, {weights.up.get(), values(weights.up_bias), up}});
  backend_.glu({gate, up, gate, size_t(count) * spec.size, spec.activation});
  project(gate, count, {{weights.down.get(), values(weights.down_bias), h}});
  if (weights.post_mlp_norm) norm(h, weights.post_mlp_norm, h, count, hidden);
  backend_.add({x, h, size_t(count) * hidden});
}

float* Decoder::logits(const std::vector<int32_t>& rows) {
  const int hidden = config_.spec.hidden_size, count = static_cast<int>(rows.size());
  float* gathered = logit_rows_->as<float>();
  for (int i = 0; i < count; ++i) std::copy_n(x_->as<float>() + size_t(rows[i]) * hidden, hidden, gathered + size_t(i) * hidden);
  norm(gathered, weights_.final_norm, gathered, count, hidden);
  const Weight* head = (weights_.lm_head ? weights_.lm_head : weights_.embed).get();
  project(gathered, count, {{head, nullptr, logits_->as<float>()}});
  return logits_->as<float>();
}

void Decoder::norm(const float* x, const Vector& weight, float* y, int rows, int cols) {
  backend_.rmsnorm({x, values(weight), y, rows, cols, config_.spec.norm_epsilon});
}

void Decoder::project(const float* x, int count, std::initializer_list<Projection> outputs) {
  backend_.matmul({x, count, config_.compute, {outputs.begin(), outputs.size()}});
}

}  // namespace kvasir
