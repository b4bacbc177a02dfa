#include "model/spec.h"

#include "tensor/status.h"

namespace kvasir {
namespace {

constexpr int64_t kMostBytes = int64_t(1) << 53;

void check_tensor(const ModelConfig& config, const TensorRow& tensor) {
  const char* name = tensor.name.c_str();
  if (tensor.file >= static_cast<int>(config.files.size())) {
    fail("INVALID_ARGUMENT", "tensor %s: file is %d; expected one below %zu", name, tensor.file, config.files.size());
  }
  if (tensor.shape.back() % info(tensor.type).block != 0) {
    fail("INVALID_ARGUMENT", "tensor %s has rows of %d; expected a multiple of %s's %d", name, tensor.shape.back(), info(tensor.type).name,
         info(tensor.type).block);
  }
  const int64_t size = config.files[tensor.file].size, bytes = tensor_bytes(tensor);
  if (tensor.offset > size || bytes > size - tensor.offset) {
    fail("FILE_INVALID", "tensor %s: %lld bytes from %lld on end outside its file of %lld", name, static_cast<long long>(bytes),
         static_cast<long long>(tensor.offset), static_cast<long long>(size));
  }
}

void check_groups(const ModelConfig& config) {
  const ModelSpec& spec = config.spec;
  std::vector<int> owners(spec.layers.size(), 0);
  for (const CacheGroup& group : spec.cache_groups) {
    for (int layer : group.layers) {
      if (layer >= static_cast<int>(spec.layers.size())) {
        fail("INVALID_ARGUMENT", "a layer of a cache group is %d; expected one below %zu", layer, spec.layers.size());
      }
      owners[layer] += 1;
    }
    if ((group.kind == CacheKind::Window) != (group.window > 0)) {
      fail("INVALID_ARGUMENT", "cache group has a window of %d; expected one of kind window to have a window, and no other", group.window);
    }
  }
  for (size_t layer = 0; layer < spec.layers.size(); ++layer) {
    if (owners[layer] != 1) fail("INVALID_ARGUMENT", "layer %zu is in %d cache groups; expected one", layer, owners[layer]);
  }
  if (config.pages.size() != spec.cache_groups.size()) {
    fail("INVALID_ARGUMENT", "pages has %zu entries; expected %zu, one for each cache group", config.pages.size(),
         spec.cache_groups.size());
  }
  for (size_t group = 0; group < config.pages.size(); ++group) {
    const double bytes = double(page_bytes(config, spec.cache_groups[group])) * config.pages[group];
    if (bytes > 0x1p62) fail("OUT_OF_MEMORY", "cache group %zu would have %g bytes", group, bytes);
  }
}

}  // namespace

int64_t row_bytes(const TensorRow& tensor) {
  return int64_t(tensor.shape.back()) / info(tensor.type).block * info(tensor.type).bytes;
}

int64_t tensor_bytes(const TensorRow& tensor) {
  int64_t bytes = row_bytes(tensor);
  for (size_t i = 0; i + 1 < tensor.shape.size(); ++i) {
    if (__builtin_mul_overflow(bytes, int64_t(tensor.shape[i]), &bytes) || bytes > kMostBytes) {
      fail("INVALID_ARGUMENT", "tensor %s has more than 2^53 bytes", tensor.name.c_str());
    }
  }
  return bytes;
}

int64_t tensor_bytes(const ModelConfig& config) {
  int64_t bytes = 0;
  for (const TensorRow& tensor : config.tensors) {
    bytes += tensor_bytes(tensor);
    if (bytes > kMostBytes) fail("INVALID_ARGUMENT", "the tensors have more than 2^53 bytes");
  }
  return bytes;
}

DType type_of(const CachePart& part, const ModelConfig& config) {
  return part.type == CachePartType::F32 ? DType::F32 : config.kv_type;
}

int64_t page_bytes(const ModelConfig& config, const CacheGroup& group) {
  int64_t bytes = 0;
  for (const CachePart& part : group.parts) bytes += int64_t(part.elements) * info(type_of(part, config)).bytes;
  return bytes * config.page_size * static_cast<int64_t>(group.layers.size());
}

void check(const ModelConfig& config) {
  const ModelSpec& spec = config.spec;
  if (spec.layers.empty() || spec.cache_groups.empty()) {
    fail("INVALID_ARGUMENT", "the model has %zu layers and %zu cache groups; expected at least one of each", spec.layers.size(),
         spec.cache_groups.size());
  }
  if (config.page_size % 16 != 0) fail("INVALID_ARGUMENT", "pageSize is %d; expected a multiple of 16", config.page_size);
  check_groups(config);
  for (const TensorRow& tensor : config.tensors) check_tensor(config, tensor);
  tensor_bytes(config);  // not too many
}

}  // namespace kvasir
