#include "engine/config.h"

#include "tensor/status.h"

namespace kvasir {
namespace {

constexpr int kMostWidth = 1 << 24;  // of a token in any layer
constexpr int64_t kMostBytes = int64_t(1) << 53;

void check_layer(const ModelSpec& spec, int layer) {
  const AttentionSpec& attention = spec.layers[layer].attention;
  if (int64_t(attention.query_heads) * attention.head_size > kMostWidth) {
    fail("INVALID_ARGUMENT", "layer %d: %d heads of %d are more than %d wide", layer, attention.query_heads, attention.head_size,
         kMostWidth);
  }
  if (attention.query_heads % attention.kv_heads != 0) {
    fail("INVALID_ARGUMENT", "layer %d: %d query heads are not a multiple of %d kv heads", layer, attention.query_heads,
         attention.kv_heads);
  }
  if (attention.rope >= static_cast<int>(spec.ropes.size()) || attention.cache_group >= static_cast<int>(spec.cache_groups.size())) {
    fail("INVALID_ARGUMENT", "layer %d: rope %d or cache group %d does not exist", layer, attention.rope, attention.cache_group);
  }
  if (spec.ropes[attention.rope].frequencies.size() > static_cast<size_t>(attention.head_size) / 2) {
    fail("INVALID_ARGUMENT", "layer %d: rope rotates more than the head size of %d", layer, attention.head_size);
  }
  const CacheGroup& group = spec.cache_groups[attention.cache_group];
  if (group.kv_heads != attention.kv_heads || group.head_size != attention.head_size) {
    fail("INVALID_ARGUMENT", "layer %d: heads differ from those of its cache group %d", layer, attention.cache_group);
  }
}

void check_pool(const EngineConfig& config, size_t index) {
  const CacheGroup& group = config.spec.cache_groups[index];
  const double bytes =
      2.0 * group.kv_heads * group.head_size * group.layers.size() * config.page_size * config.pages[index] * sizeof(float);
  if (bytes > 0x1p62) fail("OUT_OF_MEMORY", "cache group %zu would have %g bytes", index, bytes);
}

void check_tensor(const EngineConfig& config, const TensorRow& tensor) {
  const char* name = tensor.name.c_str();
  if (tensor.file >= static_cast<int>(config.files.size()))
    fail("INVALID_ARGUMENT", "tensor %s: file %d does not exist", name, tensor.file);
  if (tensor.cols % info(tensor.type).block != 0) {
    fail("INVALID_ARGUMENT", "tensor %s: rows of %d are no whole number of %s blocks", name, tensor.cols, info(tensor.type).name);
  }
  const int64_t size = config.files[tensor.file].size;
  if (tensor.offset > size || tensor_bytes(tensor) > size - tensor.offset) {
    fail("FILE_INVALID", "tensor %s: %lld bytes from %lld on end outside its file of %lld", name,
         static_cast<long long>(tensor_bytes(tensor)), static_cast<long long>(tensor.offset), static_cast<long long>(size));
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
  for (size_t group = 0; group < config.pages.size(); ++group) check_pool(config, group);
  if (config.page_size % 16 != 0) fail("INVALID_ARGUMENT", "page size %d is not a multiple of 16", config.page_size);
  int64_t bytes = 0;
  for (const TensorRow& tensor : config.tensors) {
    check_tensor(config, tensor);
    bytes += tensor_bytes(tensor);
    if (bytes > kMostBytes) fail("INVALID_ARGUMENT", "the tensors have more than 2^53 bytes");
  }
}

int64_t row_bytes(const TensorRow& tensor) {
  return int64_t(tensor.cols) / info(tensor.type).block * info(tensor.type).bytes;
}

int64_t tensor_bytes(const TensorRow& tensor) {
  return tensor.rows * row_bytes(tensor);
}

}  // namespace kvasir
