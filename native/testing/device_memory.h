#pragma once
// Memory as a device has it: addresses that fault when the host dereferences them. Each stands for memory of the host that only translate()
// finds.
#include <map>
#include <mutex>

#include "ops/memory.h"
#include "testing/device_queue.h"

namespace kvasir::testing {

class DeviceMemory {
 public:
  explicit DeviceMemory(DeviceQueue& queue) : queue_(queue) {}

  // A buffer of `bytes` whose contents are in `host`; when it goes, it waits for the queue. The memory outlives its buffers.
  std::unique_ptr<Buffer> wrap(size_t bytes, std::unique_ptr<Buffer> host);
  // Where the contents of an address of a live buffer are; null for null.
  void* translate(const void* address) const;

 private:
  friend class DeviceBuffer;
  struct Range {
    size_t bytes;
    uint8_t* host;
  };
  DeviceQueue& queue_;
  mutable std::mutex mutex_;
  std::map<uintptr_t, Range> ranges_;  // by their first address
};

}  // namespace kvasir::testing
