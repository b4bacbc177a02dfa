#pragma once
// The pools of pages: one for each cache group. A page holds keys and values of every layer of the group, one layer after the other
// (layout within a layer: ops/kv_cache.h).
#include <memory>
#include <vector>

#include "engine/config.h"
#include "ops/backend.h"
#include "ops/kv_cache.h"

namespace kvasir {

class KvCache {
 public:
  KvCache(const EngineConfig& config, Backend& backend);
  const KvLayer& layer(int index) const { return layers_[index]; }
  size_t bytes() const { return bytes_; }

 private:
  std::vector<std::unique_ptr<Buffer>> pools_;  // of each group
  std::vector<KvLayer> layers_;
  size_t bytes_ = 0;
};

}  // namespace kvasir
