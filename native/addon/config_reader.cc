#include "addon/config_reader.h"

#include <algorithm>
#include <cmath>

namespace kvasir {
namespace {

// Generous bounds. Together with check() in model/spec.cc they keep the heads of a step in int and all sizes in bytes in int64.
constexpr int kMostLayers = 4096, kMostHeads = 1 << 14, kMostPages = 1 << 26, kMostContext = 1 << 30;
constexpr int kMostBatchTokens = 1 << 16, kMostParts = 8;

RopeSpec read_rope(const Args& args) {
  const auto given = args.any_array<double>("frequencies");
  std::vector<float> frequencies(given.begin(), given.end());
  if (!std::ranges::all_of(frequencies, [](float frequency) { return std::isfinite(frequency); })) {
    fail("INVALID_ARGUMENT", "frequencies has a number that is not finite; expected finite ones");
  }
  return {std::move(frequencies), args.factor("scale"), args.flag("interleaved")};
}

CacheGroup read_cache_group(const Args& args) {
  CacheGroup group{static_cast<CacheKind>(args.choice("kind", {"all", "window"})), args.integer("window", 0, kMostContext), {}, {}};
  for (double layer : args.numbers("layers", kMostLayers)) group.layers.push_back(to_integer("layers", layer, 0, kMostLayers - 1));
  for (const Args& part : args.list("parts", 1, kMostParts)) {
    group.parts.push_back({part.integer("elements", 1, kMostWidth), static_cast<CachePartType>(part.choice("type", {"kv", "f32"}))});
  }
  return group;
}

// A limit of logits or scores, 0 for none.
float read_softcap(const Args& args, const char* name) {
  return static_cast<float>(args.number_in(name, 0, 1e30));
}

MixerSpec read_attention(const Args& args) {
  AttentionSpec spec{.query_heads = args.integer("queryHeads", 1, kMostHeads),
                     .kv_heads = args.integer("kvHeads", 1, kMostHeads),
                     .head_size = args.integer("headSize", 1, kMostWidth),
                     .scale = args.factor("scale"),
                     .softcap = read_softcap(args, "softcap"),
                     .qk_norm = static_cast<QkNorm>(args.choice("qkNorm", {"none", "head", "row", "each"})),
                     .rope = {},
                     .query_growth = {},
                     .cache_group = args.integer("cacheGroup", 0, kMostLayers)};
  if (args.has("rope")) spec.rope = args.integer("rope", 0, kMostLayers);
  if (args.has("queryGrowth")) {
    const Args growth = args.object("queryGrowth");
    spec.query_growth = {growth.factor("growth"), growth.integer("context", 1, kMostContext)};
  }
  return spec;
}

FeedForwardSpec read_gated(const Args& args) {
  return GatedSpec{args.integer("size", 1, kMostWidth), read_activation(args, "activation")};
}

FeedForwardSpec read_plain(const Args& args) {
  return PlainSpec{args.integer("size", 1, kMostWidth), read_activation(args, "activation")};
}

// How the alternatives of a part of a layer are read, by their `kind`.
template <class Spec>
struct Kind {
  const char* name;
  Spec (*read)(const Args&);
};
constexpr Kind<MixerSpec> kMixers[] = {{"attention", read_attention}};
constexpr Kind<FeedForwardSpec> kFeedForwards[] = {{"gated", read_gated}, {"plain", read_plain}};

template <class Spec, size_t count>
Spec read_kind(const Args& args, const Kind<Spec> (&kinds)[count]) {
  std::vector<const char*> names;
  for (const Kind<Spec>& kind : kinds) names.push_back(kind.name);
  return kinds[args.choice("kind", names)].read(args);
}

Norm read_norm(const Args& args) {
  return {static_cast<NormKind>(args.choice("kind", {"rms", "layer"})), static_cast<float>(args.number_in("epsilon", 0, 1))};
}

LayerSpec read_layer(const Args& args) {
  return {static_cast<Residual>(args.choice("residual", {"sequential", "parallel"})), read_kind(args.object("mixer"), kMixers),
          read_kind(args.object("feedForward"), kFeedForwards)};
}

ModelSpec read_spec(const Args& args) {
  ModelSpec spec{.vocab_size = args.integer("vocabSize", 1, kMostWidth),
                 .hidden_size = args.integer("hiddenSize", 1, kMostWidth),
                 .norm = read_norm(args.object("norm")),
                 .embedding_scale = args.factor("embeddingScale"),
                 .residual_scale = args.factor("residualScale"),
                 .logit_scale = args.factor("logitScale"),
                 .logit_softcap = read_softcap(args, "logitSoftcap"),
                 .learned_positions = args.integer("learnedPositions", 0, kMostWidth),
                 .ropes = {},
                 .cache_groups = {},
                 .layers = {}};
  for (const Args& rope : args.list("ropes", 0, kMostLayers)) spec.ropes.push_back(read_rope(rope));
  for (const Args& group : args.list("cacheGroups", 1, kMostLayers)) spec.cache_groups.push_back(read_cache_group(group));
  for (const Args& layer : args.list("layers", 1, kMostLayers)) spec.layers.push_back(read_layer(layer));
  return spec;
}

RowLayout read_layout(const Args& args) {
  const auto kind = static_cast<RowLayoutKind>(args.choice("kind", {"runs", "transposed"}));
  return {kind, kind == RowLayoutKind::Runs ? args.integer("run", 1, kMostWidth) : 1, args.integer("stride", 1, kMostWidth)};
}

WeightScales read_scales(const Args& args) {
  return {.matrix = args.text("matrix"),
          .name = args.text("name"),
          .file = args.integer("file", 0, kMostLayers),
          .offset = args.long_integer("offset"),
          .type = static_cast<DType>(args.choice("type", {"F32", "F16", "BF16"})),
          .block_rows = args.integer("blockRows", 1, kMostWidth),
          .block_cols = args.integer("blockColumns", 1, kMostWidth),
          .first = args.integer("first", 0, kMostWidth)};
}

TensorRow read_tensor(const Args& args) {
  TensorRow tensor{args.text("name"),
                   args.integer("file", 0, kMostLayers),
                   args.long_integer("offset"),
                   args.dtype("type"),
                   {},
                   args.flag("plusOne"),
                   {},
                   {}};
  if (args.has("layout")) tensor.layout = read_layout(args.object("layout"));
  if (args.has("scales")) tensor.scales = read_scales(args.object("scales"));
  for (double size : args.numbers("shape", 3)) tensor.shape.push_back(to_integer("shape", size, 1, kMostWidth));
  if (tensor.shape.empty()) fail("INVALID_ARGUMENT", "tensor %s has no shape; expected one to three dimensions", tensor.name.c_str());
  return tensor;
}

// What each model has of its own.
void read_model(const Args& args, ModelConfig& config) {
  config.spec = read_spec(args.object("spec"));
  config.files.clear();
  config.tensors.clear();
  for (const Args& file : args.list("files", 1, kMostLayers)) config.files.push_back({file.text("path"), file.long_integer("size")});
  for (const Args& tensor : args.list("tensors", 1, 1 << 20)) config.tensors.push_back(read_tensor(tensor));
  config.compute = read_compute(args, "compute");
}

DeviceConfig read_device(const Args& args) {
  DeviceConfig device{.kind = args.text("kind"), .isa = {}};
  if (device.kind == "cuda") {
    device.index = args.integer("index", 0, 255);
  } else {
    device.isa = args.text("isa");
    device.threads = args.integer("threads", 1, 256);
  }
  return device;
}

std::vector<int32_t> read_tokens(const Args& args, const char* name, int vocab_size) {
  const auto tokens = args.any_array<int32_t>(name);
  check_ids(name, tokens, vocab_size);
  return {tokens.begin(), tokens.end()};
}

SampleParams read_sample_params(const Args& args) {
  SampleParams params;
  params.temperature = args.number_in("temperature", 0, 1e30);
  params.top_k = args.integer("topK", 0, kMostContext);
  params.top_p = args.number_in("topP", 0, 1);
  params.min_p = args.number_in("minP", 0, 1);
  params.typical_p = args.number_in("typicalP", 0, 1);
  params.repetition_penalty = args.number_in("repetitionPenalty", 1e-6, 1e6);
  params.presence_penalty = args.number_in("presencePenalty", -1e6, 1e6);
  params.frequency_penalty = args.number_in("frequencyPenalty", -1e6, 1e6);
  return params;
}

}  // namespace

Activation read_activation(const Args& args, const char* name) {
  return static_cast<Activation>(args.choice(name, {"silu", "gelu_tanh", "gelu"}));
}

Compute read_compute(const Args& args, const char* name) {
  return static_cast<Compute>(args.choice(name, {"f32", "bf16", "int8"}));
}

EngineConfig read_engine_config(const Args& args) {
  EngineConfig config;
  read_model(args, config);
  config.device = read_device(args.object("device"));
  config.kv_type = kCacheTypes[args.choice("kvType", {"f32", "f16", "bf16", "fp8"})];
  config.page_size = args.integer("pageSize", 16, 1024);
  for (double pages : args.numbers("pages", kMostLayers)) config.pages.push_back(to_integer("pages", pages, 1, kMostPages));
  config.max_slots = args.integer("maxSlots", 1, 65536);
  config.max_batch_tokens = args.integer("maxBatchTokens", 1, kMostBatchTokens);
  config.max_context = args.integer("maxContext", 1, kMostContext);
  if (args.has("draft")) {
    config.draft = static_cast<const ModelConfig&>(config);  // the sizes that both share
    read_model(args.object("draft"), *config.draft);
  }
  return config;
}

SlotConfig read_slot_config(const Args& args, int vocab_size) {
  SlotConfig config;
  config.params = read_sample_params(args);
  const auto bias_tokens = read_tokens(args, "biasTokens", vocab_size);
  const auto bias_values = args.array<double>("biasValues", bias_tokens.size());
  for (size_t i = 0; i < bias_tokens.size(); ++i) config.biases.push_back({bias_tokens[i], static_cast<float>(bias_values[i])});
  config.seed = args.seed("seed");
  config.min_tokens = args.integer("minTokens", 0, kMostContext);
  config.end_tokens = read_tokens(args, "endTokens", vocab_size);
  config.logprobs = args.integer("logprobs", -1, kMaxTopLogprobs);
  config.tokens = read_tokens(args, "tokens", vocab_size);
  config.prompt_length = args.integer("promptLength", 0, static_cast<int>(config.tokens.size()));
  return config;
}

}  // namespace kvasir
