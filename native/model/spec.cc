#include "model/spec.h"

#include "tensor/status.h"

namespace kvasir {
namespace {

constexpr int64_t kMostBytes = int64_t(1) << 53;

void check_layout(const TensorRow& tensor) {
  if (!tensor.layout) return;
  const RowLayout& layout = *tensor.layout;
  const bool transposed = layout.kind == RowLayoutKind::Transposed;
  if (tensor.shape.size() > 2 || (transposed && tensor.shape.size() < 2)) {
    fail("INVALID_ARGUMENT", "tensor %s has a layout of rows and %zu dimensions", tensor.name.c_str(), tensor.shape.size());
  }
  if (is_quantized(tensor.type) && (transposed || tensor.shape.size() == 1)) {
    fail("INVALID_ARGUMENT", "tensor %s is %s; expected elements that lie one by one", tensor.name.c_str(), info(tensor.type).name);
  }
  const int least = transposed ? tensor.shape[0] : layout.run;
  if (layout.stride < least) {
    fail("INVALID_ARGUMENT", "tensor %s: stride is %d; expected at least %d", tensor.name.c_str(), layout.stride, least);
  }
}

// Bytes from a place on in one of the files.
void check_extent(const ModelConfig& config, const char* name, int file, int64_t offset, int64_t bytes) {
  if (file >= static_cast<int>(config.files.size())) {
    fail("INVALID_ARGUMENT", "tensor %s: file is %d; expected one below %zu", name, file, config.files.size());
  }
  const int64_t size = config.files[file].size;
  if (offset > size || bytes > size - offset) {
    fail("FILE_INVALID", "tensor %s: %lld bytes from %lld on end outside its file of %lld", name, static_cast<long long>(bytes),
         static_cast<long long>(offset), static_cast<long long>(size));
  }
}

void check_scales(const ModelConfig& config, const TensorRow& tensor) {
  const char* name = tensor.name.c_str();
  if (tensor.scales.has_value() != (tensor.type == DType::F8_E4M3)) {
    fail("INVALID_ARGUMENT", "tensor %s is %s; expected scales of F8_E4M3, and of no other type", name, info(tensor.type).name);
  }
  if (!tensor.scales) return;
  const WeightScales& scales = *tensor.scales;
  if (tensor.shape.size() != 2 || tensor.layout) {
    fail("INVALID_ARGUMENT", "tensor %s has scales; expected two dimensions, and rows one after the other", name);
  }
  if (scales.block_cols % info(tensor.type).block != 0 && scales.block_cols < tensor.shape[1]) {
    fail("INVALID_ARGUMENT", "tensor %s has scales of %d columns; expected a multiple of %d", name, scales.block_cols,
         info(tensor.type).block);
  }
  check_extent(config, name, scales.file, scales.offset, scale_rows(tensor) * scale_cols(tensor) * info(scales.type).bytes);
}

void check_tensor(const ModelConfig& config, const TensorRow& tensor) {
  const char* name = tensor.name.c_str();
  if (tensor.shape.back() % info(tensor.type).block != 0) {
    fail("INVALID_ARGUMENT", "tensor %s has rows of %d; expected a multiple of %s's %d", name, tensor.shape.back(), info(tensor.type).name,
         info(tensor.type).block);
  }
  check_layout(tensor);
  check_scales(config, tensor);
  check_extent(config, name, tensor.file, tensor.offset, extent_bytes(tensor));
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

void check_mixer(const AttentionSpec& spec, size_t layer, const Limits& limits, const char* device) {
  if (spec.head_size > limits.head_size) {
    fail("UNSUPPORTED_MODEL", "layer %zu: headSize is %d; expected at most %d on %s", layer, spec.head_size, limits.head_size, device);
  }
  if (spec.qk_norm == QkNorm::Row && int64_t(spec.query_heads) * spec.head_size > limits.norm_cols) {
    fail("UNSUPPORTED_MODEL", "layer %zu: %d heads of %d are normed at once; expected at most %d columns on %s", layer, spec.query_heads,
         spec.head_size, limits.norm_cols, device);
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

// Sizes of one dimension are at most kMostWidth, so that nothing overflows from here on.
int64_t extent_bytes(const TensorRow& tensor) {
  if (tensor.scales) return int64_t(tensor.shape[0]) * tensor.shape[1];
  if (!tensor.layout) return tensor_bytes(tensor);
  const RowLayout& layout = *tensor.layout;
  const int64_t rows = tensor.shape[0], last = rows - 1;
  if (layout.kind == RowLayoutKind::Transposed) return ((tensor.shape[1] - 1) * int64_t(layout.stride) + rows) * info(tensor.type).bytes;
  const int64_t bytes = tensor.shape.size() == 1 ? info(tensor.type).bytes : row_bytes(tensor);
  return (last / layout.run * layout.stride + last % layout.run + 1) * bytes;
}

int64_t scale_rows(const TensorRow& tensor) {
  return (int64_t(tensor.scales->first) + tensor.shape[0] - 1) / tensor.scales->block_rows + 1;
}

int64_t scale_cols(const TensorRow& tensor) {
  return (int64_t(tensor.shape[1]) + tensor.scales->block_cols - 1) / tensor.scales->block_cols;
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
  for (const CachePart& part : group.parts) bytes += int64_t(part.elements) * element_bytes(type_of(part, config));
  return bytes * config.page_size * static_cast<int64_t>(group.layers.size());
}

void check_limits(const ModelSpec& spec, const Backend& backend) {
  const Limits limits = backend.limits();
  const std::string device = backend.processor();
  if (spec.hidden_size > limits.norm_cols) {
    fail("UNSUPPORTED_MODEL", "hiddenSize is %d; expected at most %d on %s", spec.hidden_size, limits.norm_cols, device.c_str());
  }
  for (size_t layer = 0; layer < spec.layers.size(); ++layer) {
    std::visit([&](const auto& mixer) { check_mixer(mixer, layer, limits, device.c_str()); }, spec.layers[layer].mixer);
  }
}

void check(const ModelConfig& config) {
  const ModelSpec& spec = config.spec;
  if (spec.layers.empty() || spec.cache_groups.empty()) {
    fail("INVALID_ARGUMENT", "the model has %zu layers and %zu cache groups; expected at least one of each", spec.layers.size(),
         spec.cache_groups.size());
  }
  if (config.page_size % 16 != 0) fail("INVALID_ARGUMENT", "pageSize is %d; expected a multiple of 16", config.page_size);
  if (spec.learned_positions > 0 && config.max_context > spec.learned_positions) {
    fail("INVALID_ARGUMENT", "maxContext is %d; expected at most %d, the positions that the model has learned", config.max_context,
         spec.learned_positions);
  }
  check_groups(config);
  for (const TensorRow& tensor : config.tensors) check_tensor(config, tensor);
  tensor_bytes(config);  // not too many
}

}  // namespace kvasir
