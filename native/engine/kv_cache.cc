#include "engine/kv_cache.h"

namespace kvasir {

KvCache::KvCache(const EngineConfig& config, Backend& backend) : layers_(config.spec.layers.size()) {
  for (size_t group = 0; group < config.spec.cache_groups.size(); ++group) {
    const CacheGroup& shape = config.spec.cache_groups[group];
    const int64_t half = int64_t(shape.kv_heads) * shape.head_size * config.page_size;  // elements of a page's keys, and of its values
    const int64_t stride = 2 * half * static_cast<int64_t>(shape.layers.size());
    const size_t element = static_cast<size_t>(info(config.kv_type).bytes),
                 bytes = static_cast<size_t>(stride) * element * config.pages[group];
    uint8_t* place = pools_.emplace_back(backend.allocate(bytes))->as<uint8_t>();
    bytes_ += bytes;
    for (int layer : shape.layers) {
      uint8_t *k = place, *v = place + half * element;
      layers_[layer] = {k, v, config.kv_type, shape.kv_heads, shape.head_size, config.page_size, stride};
      place += 2 * half * element;
    }
  }
}

}  // namespace kvasir
