#pragma once
// A matrix in the layout of quant/pack.h.
#include <memory>

#include "ops/memory.h"

namespace kvasir::cpu {

class PackedWeight : public Weight {
 public:
  int panels() const { return (rows + 15) / 16; }
  const uint8_t* panel(int index) const { return data.get() + static_cast<size_t>(index) * panel_bytes; }

  std::shared_ptr<uint8_t> data;
  size_t panel_bytes = 0;
};

}  // namespace kvasir::cpu
