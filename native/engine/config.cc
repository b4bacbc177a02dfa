#include "engine/config.h"

#include "tensor/status.h"

namespace kvasir {
namespace {

void check_layer(const ModelSpec& spec, int layer) {
  const AttentionSpec& attention = spec.layers[layer].attention;
  if (attention.query_heads % attention.kv_heads != 0) {
    fail("INVALID_ARGUMENT", "layer %d: %d query heads are not a multiple of %d kv heads", layer, attention.query_heads,
         attention.kv_heads);
  }
  if (attention.rope >= static_cast<int>(spec.ropes.size()) || attention.cache_group >= static_cast<int>(spec.cache_groups.size())) {
    fail("INVALID_ARGUMENT", "layer %d: rope %d or cache group %d does not exist", layer, attention.rope, attention.cache_group);
  }
  if (static_cast<int>(spec.ropes[attention.rope].frequencies.size()) * 2 > attention.head_size) {
    fail("INVALID_ARGUMENT", "layer %d: rope rotates more than the head size of %d", layer, attention.head_size);
  }
  const CacheGroup& group = spec.cache_groups[attention.cache_group];
  if (group.kv_heads != attention.kv_heads || group.head_size != attention.head_size) {
    fail("INVALID_ARGUMENT", "layer %d: heads differ from those of its cache group %d", layer, attention.cache_group);
  }
}

}  // namespace

void check(const EngineConfig& config) {
  const ModelSpec& spec = config.spec;
  if (spec.layers.empty() || spec.cache_groups.empty()) fail("INVALID_ARGUMENT", "a model has at least one layer and one cache group");
  std::vector<int> owners(spec.layers.size(), 0);
  for (const CacheGroup& group : spec.cache_groups) {
    for (int layer : group.layers) {
      if (layer >= static_cast<int>(spec.layers.size()))
        fail("INVALID_ARGUMENT", "cache group names layer %d of %zu", layer, spec.layers.size());
      owners[layer] += 1;
    }
  }
  for (size_t layer = 0; layer < spec.layers.size(); ++layer) {
    if (owners[layer] != 1) fail("INVALID_ARGUMENT", "layer %zu is in %d cache groups, not in one", layer, owners[layer]);
    check_layer(spec, static_cast<int>(layer));
  }
  if (config.pages.size() != spec.cache_groups.size()) {
    fail("INVALID_ARGUMENT", "%zu page counts for %zu cache groups", config.pages.size(), spec.cache_groups.size());
  }
  if (config.page_size % 16 != 0) fail("INVALID_ARGUMENT", "page size %d is not a multiple of 16", config.page_size);
  for (const TensorRow& tensor : config.tensors) {
    if (tensor.file >= static_cast<int>(config.files.size()))
      fail("INVALID_ARGUMENT", "tensor %s: file %d does not exist", tensor.name.c_str(), tensor.file);
    if (tensor.cols % info(tensor.type).block != 0) {
      fail("INVALID_ARGUMENT", "tensor %s: rows of %d are no whole number of %s blocks", tensor.name.c_str(), tensor.cols,
           info(tensor.type).name);
    }
  }
}

}  // namespace kvasir
