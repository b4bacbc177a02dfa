#pragma once
// Memory from the operating system: lazy, zero, aligned to 64 bytes at least, in huge pages where it is large.
#include <memory>

#include "ops/memory.h"

namespace kvasir::cpu {

// Throws OUT_OF_MEMORY.
std::unique_ptr<Buffer> map_memory(size_t bytes);

// Hands out memory that lives as long as whoever holds a piece: weights of all sizes lie side by side, so that all are in huge pages.
class Arena {
 public:
  // `bytes` of zeros, aligned to 64. Throws OUT_OF_MEMORY.
  std::shared_ptr<uint8_t> allocate(size_t bytes);

 private:
  std::shared_ptr<Buffer> chunk_;
  size_t used_ = 0;
  size_t size_ = 0;
};

// Working memory of an op: grows to the largest call, then stays. What it held is gone at the next reserve.
struct Scratch {
  std::unique_ptr<Buffer> buffer;
  size_t size = 0;

  // Throws OUT_OF_MEMORY.
  uint8_t* reserve(size_t bytes);
};

}  // namespace kvasir::cpu
