#include "model/mixers/attention.h"

#include <algorithm>

#include "tensor/status.h"

namespace kvasir {
namespace {

void check_heads(const AttentionSpec& spec, const LayerParts& parts) {
  if (int64_t(spec.query_heads) * spec.head_size > kMostWidth) {
    fail("INVALID_ARGUMENT", "layer %d has %d query heads of %d; expected at most %d wide", parts.layer, spec.query_heads, spec.head_size,
         kMostWidth);
  }
  if (spec.query_heads % spec.kv_heads != 0) {
    fail("INVALID_ARGUMENT", "layer %d: queryHeads is %d; expected a multiple of kvHeads, %d", parts.layer, spec.query_heads,
         spec.kv_heads);
  }
}

const RopeSpec& checked_rope(const AttentionSpec& spec, const LayerParts& parts) {
  const std::vector<RopeSpec>& ropes = parts.config.spec.ropes;
  if (*spec.rope >= static_cast<int>(ropes.size())) {
    fail("INVALID_ARGUMENT", "layer %d: rope is %d; expected one below %zu", parts.layer, *spec.rope, ropes.size());
  }
  const RopeSpec& rope = ropes[*spec.rope];
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
  check_heads(spec, parts);
  if (!spec.rope) return {};
  const RopeSpec& rope = checked_rope(spec, parts);
  return {view(parts.frequencies[*spec.rope]), static_cast<int>(rope.frequencies.size()), rope.scale, rope.interleaved};
}

// q_norm or k_norm, in the form that the spec says.
Vector read_head_norm(const AttentionSpec& spec, const LayerWeights& weights, const char* name, int heads) {
  switch (spec.qk_norm) {
    case QkNorm::None:
      return nullptr;
    case QkNorm::Head:
      return weights.vector(name, spec.head_size);
    case QkNorm::Row:
      return weights.vector(name, heads * spec.head_size);
    default:
      return weights.vectors(name, heads, spec.head_size);
  }
}

}  // namespace

AttentionMixer::AttentionMixer(const AttentionSpec& spec, const LayerParts& parts)
    : spec_(spec),
      activations_(parts.backend.activations(parts.config.compute)),
      norm_(parts.config.spec.norm),
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
  q_norm_ = read_head_norm(spec, weights, "q_norm", spec.query_heads);
  k_norm_ = read_head_norm(spec, weights, "k_norm", spec.kv_heads);
}

AttentionMixer::Scratch AttentionMixer::scratch(Workspace& workspace) const {
  const int q = spec_.query_heads * spec_.head_size, kv = spec_.kv_heads * spec_.head_size;
  const DType output = activations_.output;
  return {workspace.take(q, output), workspace.take(kv, output), workspace.take(kv, output), workspace.take(q, activations_.input)};
}

// Where all heads of a token are normed as one row.
void AttentionMixer::norm_rows(const LayerContext& context, View heads, int count, const Vector& weight) const {
  context.backend.run(
      AddNorm{.x = heads, .y = heads, .weight = view(weight), .rows = context.step.tokens, .cols = count * spec_.head_size, .norm = norm_});
}

// out = o(attention(rope(norm(q(in))), rope(norm(k(in))), v(in)))
void AttentionMixer::forward(const LayerContext& context, View in, View out) const {
  Workspace workspace = context.workspace;
  const auto [q, k, v, mixed] = scratch(workspace);
  const int tokens = context.step.tokens;
  const Projection to_q{q_.get(), view(q_bias_), q}, to_k{k_.get(), view(k_bias_), k}, to_v{v_.get(), view(v_bias_), v};
  Backend& backend = context.backend;
  backend.run(Matmul{.x = in, .rows = tokens, .outputs = {to_q, to_k, to_v}});
  const bool rows = spec_.qk_norm == QkNorm::Row;
  if (rows) norm_rows(context, q, spec_.query_heads, q_norm_);
  if (rows) norm_rows(context, k, spec_.kv_heads, k_norm_);
  backend.run(QkRopeAppend{.step = &context.step,
                           .q = q,
                           .k = k,
                           .v = v,
                           .q_norm = head_norm(q_norm_),
                           .k_norm = head_norm(k_norm_),
                           .norm = norm_,
                           .rope = rope_,
                           .query_growth = spec_.query_growth.value_or(QueryGrowth{}),
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
                        .softcap = spec_.softcap,
                        .window = window_});
  backend.run(Matmul{.x = mixed, .rows = tokens, .outputs = {Projection{o_.get(), view(o_bias_), out}}});
}

}  // namespace kvasir
