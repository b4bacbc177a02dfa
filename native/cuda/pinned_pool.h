#pragma once
// Pinned memory for what goes to the device and what comes back. A piece returns to the pool when the last who holds it lets go, on any
// thread.
#include <algorithm>
#include <bit>
#include <map>
#include <mutex>
#include <vector>

#include "cuda/runtime.h"

namespace kvasir::cuda {

class PinnedPool {
 public:
  using Piece = std::shared_ptr<Pinned<uint8_t>>;

  // At least so many bytes, a power of two: after the first steps nothing is allocated.
  Piece take(size_t bytes) {
    const size_t size = std::bit_ceil(std::max<size_t>(bytes, 4096));
    std::unique_ptr<Pinned<uint8_t>> memory = spare_->take(size);
    if (!memory) memory = std::make_unique<Pinned<uint8_t>>(size);
    return {memory.release(), [spare = spare_, size](Pinned<uint8_t>* used) { spare->put(size, std::unique_ptr<Pinned<uint8_t>>(used)); }};
  }

 private:
  class Spare {
   public:
    std::unique_ptr<Pinned<uint8_t>> take(size_t size) {
      std::lock_guard lock(mutex_);
      auto& own = pieces_[size];
      if (own.empty()) return nullptr;
      auto piece = std::move(own.back());
      own.pop_back();
      return piece;
    }
    void put(size_t size, std::unique_ptr<Pinned<uint8_t>> piece) {
      std::lock_guard lock(mutex_);
      pieces_[size].push_back(std::move(piece));
    }

   private:
    std::mutex mutex_;
    std::map<size_t, std::vector<std::unique_ptr<Pinned<uint8_t>>>> pieces_;
  };

  std::shared_ptr<Spare> spare_ = std::make_shared<Spare>();
};

}  // namespace kvasir::cuda
