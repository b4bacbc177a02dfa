#include "model/mixers/attention.h"

#include <algorithm>

#include "tensor/status.h"

namespace kvasir {
namespace {

constexpr int kMostWidth = 1 << 24;  // of a token: keeps products of sizes in int

const RopeSpec& checked_rope(const AttentionSpec& spec, const LayerParts& parts) {
  const ModelSpec& model = parts.config.spec;
  if (int64_t(spec.query_heads) * spec.head_size > kMostWidth) {
    fail("INVALID_ARGUMENT", "layer %d has %d query heads of %d; expected at most %d wide", parts.layer, spec.query_heads, spec.head_size,
         kMostWidth);
  }
  if (spec.query_heads % spec.kv_heads != 0) {
    fail("INVALID_ARGUMENT", "layer %d: queryHeads is %d; expected a multiple of kvHeads, %d", parts.layer, spec.query_heads,
         spec.kv_heads);
  }
  if (spec.rope >= static_cast<int>(model.ropes.size())) {
    fail("INVALID_ARGUMENT", "layer %d: rope is %d; expected one below %zu", parts.layer, spec.rope, model.ropes.size());
  }
  const RopeSpec& rope = model.ropes[spec.rope];
  if (rope.frequencies.size() > static_cast<size_t>(spec.head_size) / 2) {
    fail("INVALID_ARGUMENT", "layer %d: rope has %zu frequencies; expected at most half the head size of %d", parts.layer,
         rope.frequencies.size(), spec.head_size);
  }
  return rope;
}

const CacheGroup& checked_group(const AttentionSpec& spec, const LayerParts& parts) {
  const std::vector<CacheGroup>& groups = parts.config.spec.cache_groups;
  if (spec.cache_group >= static_cast<int>(groups.size()) || std::ranges::count(groups[spec.cache_group].layers, parts.layer) != 1) {
    fail("INVALID_ARGUMENT", "layer %d: cacheGroup is %d; expected the group that has the layer", parts.layer, spec.cache_group);
  }
  const CacheGroup& group = groups[spec.cache_group];
  const auto holds_head = [&](const CachePart& part) {
    return part.type == CachePartType::Kv && part.elements == spec.kv_heads * spec.head_size;
  };
  if (group.parts.size() != 2 || !std::ranges::all_of(group.parts, holds_head)) {
    fail("INVALID_ARGUMENT", "layer %d: cacheGroup is %d; expected one with keys and values of %d heads of %d", parts.layer,
         spec.cache_group, spec.kv_heads, spec.head_size);
  }
  return group;
}

Rope rope_of(const AttentionSpec& spec, const LayerParts& parts) {
  const RopeSpec& rope = checked_rope(spec, parts);
  return {view(parts.frequencies[spec.rope]), static_cast<int>(rope.frequencies.size()), rope.scale, rope.interleaved};
}

}  // namespace

AttentionMixer::AttentionMixer(const AttentionSpec& spec, const LayerParts& parts)
    : spec_(spec),
      activations_(parts.backend.activations(parts.config.compute)),
      epsilon_(parts.config.spec.norm_epsilon),
      window_(checked_group(spec, parts).window),
      rope_(rope_of(spec, parts)),
      cache_{parts.pools.part(parts.layer, 0), parts.pools.part(parts.layer, 1), spec.kv_heads, spec.head_size, parts.config.page_size} {
  const LayerWeights& weights = parts.weights;
  const int hidden = parts.config.spec.hidden_size, q = spec.query_heads * spec.head_size, kv = spec.kv_heads * spec.head_size;
  q_ = weights.matrix("q", q, hidden);
  k_ = weights.matrix("k", kv, hidden);
  v_ = weights.matrix("v", kv, hidden);
  o_ = weights.matrix("o", hidden, q);
  q_bias_ = weights.vector_if_present("q_bias", q);
  k_bias_ = weights.vector_if_present("k_bias", kv);
  v_bias_ = weights.vector_if_present("v_bias", kv);
  o_bias_ = weights.vector_if_present("o_bias", hidden);
  q_norm_ = weights.vector_if_present("q_norm", spec.head_size);
  k_norm_ = weights.vector_if_present("k_norm", spec.head_size);
}

AttentionMixer::Scratch AttentionMixer::scratch(Workspace& workspace) const {
  const int q = spec_.query_heads * spec_.head_size, kv = spec_.kv_heads * spec_.head_size;
  const DType output = activations_.output;
  return {workspace.take(q, output), workspace.take(kv, output), workspace.take(kv, output), workspace.take(q, activations_.input)};
}

// out = o(attention(rope(norm(q(in))), rope(norm(k(in))), v(in)))
void AttentionMixer::forward(const LayerContext& context, View in, View out) const {
  Workspace workspace = context.workspace;
  const auto [q, k, v, mixed] = scratch(workspace);
  const int tokens = context.step.tokens;
  const Projection to_q{q_.get(), view(q_bias_), q}, to_k{k_.get(), view(k_bias_), k}, to_v{v_.get(), view(v_bias_), v};
  Backend& backend = context.backend;
  backend.run(Matmul{.x = in, .rows = tokens, .outputs = {to_q, to_k, to_v}});
  backend.run(QkRopeAppend{.step = &context.step,
                           .q = q,
                           .k = k,
                           .v = v,
                           .q_norm = view(q_norm_),
                           .k_norm = view(k_norm_),
                           .epsilon = epsilon_,
                           .rope = rope_,
                           .cache = cache_,
                           .group = spec_.cache_group,
                           .query_heads = spec_.query_heads});
  backend.run(Attention{.step = &context.step,
                        .q = q,
                        .out = mixed,
                        .cache = cache_,
                        .group = spec_.cache_group,
                        .query_heads = spec_.query_heads,
                        .scale = spec_.scale,
                        .window = window_});
  backend.run(Matmul{.x = mixed, .rows = tokens, .outputs = {Projection{o_.get(), view(o_bias_), out}}});
}

}  // namespace kvasir
