#include "model/page_pools.h"

namespace kvasir {

PagePools::PagePools(const ModelConfig& config, Backend& backend) : parts_(config.spec.layers.size()) {
  for (size_t index = 0; index < config.spec.cache_groups.size(); ++index) {
    const CacheGroup& group = config.spec.cache_groups[index];
    const int64_t page = page_bytes(config, group);
    const size_t bytes = static_cast<size_t>(page) * config.pages[index];
    uint8_t* place = static_cast<uint8_t*>(pools_.emplace_back(backend.allocate(bytes))->address());
    bytes_ += bytes;
    for (int layer : group.layers) {
      for (const CachePart& part : group.parts) {
        // All sizes are multiples of 16 elements, so a page is a whole number of elements of either type.
        const DType type = type_of(part, config);
        parts_[layer].push_back({place, type, page / element_bytes(type)});
        place += int64_t(part.elements) * config.page_size * element_bytes(type);
      }
    }
  }
}

}  // namespace kvasir
