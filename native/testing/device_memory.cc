#include "testing/device_memory.h"

#include <sys/mman.h>

#include <algorithm>

#include "tensor/status.h"

namespace kvasir::testing {

class DeviceBuffer : public Buffer {
 public:
  DeviceBuffer(DeviceMemory& memory, size_t bytes, std::unique_ptr<Buffer> host)
      : memory_(memory), bytes_(std::max<size_t>(bytes, 1)), host_(std::move(host)) {
    address_ = ::mmap(nullptr, bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (address_ == MAP_FAILED) fail("OUT_OF_MEMORY", "%zu bytes of addresses could not be had", bytes);
    std::lock_guard lock(memory_.mutex_);
    memory_.ranges_[reinterpret_cast<uintptr_t>(address_)] = {bytes_, static_cast<uint8_t*>(host_->address())};
  }
  ~DeviceBuffer() override {
    memory_.queue_.drain();
    {
      std::lock_guard lock(memory_.mutex_);
      memory_.ranges_.erase(reinterpret_cast<uintptr_t>(address_));
    }
    ::munmap(address_, bytes_);
  }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  void* address() const override { return address_; }

 private:
  DeviceMemory& memory_;
  size_t bytes_;
  std::unique_ptr<Buffer> host_;
  void* address_;
};

std::unique_ptr<Buffer> DeviceMemory::wrap(size_t bytes, std::unique_ptr<Buffer> host) {
  return std::make_unique<DeviceBuffer>(*this, bytes, std::move(host));
}

void* DeviceMemory::translate(const void* address) const {
  if (address == nullptr) return nullptr;
  const auto place = reinterpret_cast<uintptr_t>(address);
  std::lock_guard lock(mutex_);
  auto range = ranges_.upper_bound(place);
  if (range == ranges_.begin() || place - (--range)->first >= range->second.bytes) {
    fail("INTERNAL", "an op was given the address %p, which is none of the device's", address);
  }
  return range->second.host + (place - range->first);
}

}  // namespace kvasir::testing
