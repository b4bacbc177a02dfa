#pragma once
// The pools of pages: one for each cache group. A page holds, for each layer of the group after the other, the parts of page_size tokens
// (what a part's elements are is its mixer's affair: ops/kv_cache.h for attention).
#include <vector>

#include "model/spec.h"
#include "ops/backend.h"

namespace kvasir {

class PagePools {
 public:
  PagePools(const ModelConfig& config, Backend& backend);

  // Part `index` of a layer: row p is page p's.
  View part(int layer, int index) const { return parts_[layer][index]; }
  size_t bytes() const { return bytes_; }

 private:
  std::vector<std::unique_ptr<Buffer>> pools_;  // of each group
  std::vector<std::vector<View>> parts_;        // of each layer
  size_t bytes_ = 0;
};

}  // namespace kvasir
