#include "engine/kv_cache.h"

namespace kvasir {

KvCache::KvCache(const EngineConfig& config, Backend& backend) : layers_(config.spec.layers.size()) {
  for (size_t group = 0; group < config.spec.cache_groups.size(); ++group) {
    const CacheGroup& shape = config.spec.cache_groups[group];
    const size_t page = size_t(shape.kv_heads) * shape.head_size * config.page_size * info(config.kv_type).bytes;
    const size_t bytes = page * static_cast<size_t>(config.pages[group]);
    for (int layer : shape.layers) {
      void* halves[2];
      for (void*& half : halves) half = buffers_.emplace_back(backend.allocate(bytes))->data();
      layers_[layer] = {halves[0], halves[1], config.kv_type, shape.kv_heads, shape.head_size, config.page_size};
      bytes_ += 2 * bytes;
    }
  }
}

}  // namespace kvasir
