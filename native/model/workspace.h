#pragma once
// Memory that the halves of all layers share, one after the other: each takes its views from the start, always at the same addresses.
#include <algorithm>

#include "ops/memory.h"

namespace kvasir {

class Workspace {
 public:
  // Without memory it only counts what is taken.
  explicit Workspace(int tokens, const Buffer* memory = nullptr)
      : tokens_(tokens), memory_(memory == nullptr ? nullptr : static_cast<uint8_t*>(memory->address())) {}

  // [tokens, cols], aligned to 256 bytes. Dense types only.
  View take(int cols, DType type) {
    View view{memory_ == nullptr ? nullptr : memory_ + used_, type, stride_of(cols, type)};
    used_ += (matrix_bytes(tokens_, cols, type) + 255) / 256 * 256;
    return view;
  }
  size_t used() const { return used_; }

 private:
  int tokens_;
  uint8_t* memory_;
  size_t used_ = 0;
};

}  // namespace kvasir
