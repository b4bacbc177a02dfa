#include "cpu/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "tensor/status.h"

namespace kvasir::cpu {
namespace {

constexpr size_t kHugePage = size_t(2) << 20;
constexpr size_t kChunk = size_t(64) << 20;  // of an arena; what is never touched of it costs nothing

// Behind small mappings: no one may touch it. The sanitizer doesn't know where a mapping ends. Up to 63 bytes before it, for alignment, are
// not watched.
#if defined(KVASIR_SANITIZE)
constexpr size_t kGuard = 4096;
#else
constexpr size_t kGuard = 0;
#endif

constexpr size_t round_up(size_t bytes, size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

class MappedBuffer : public Buffer {
 public:
  explicit MappedBuffer(size_t bytes) {
    // A mapping is aligned to 4 KiB only: one huge page more leaves room to align it.
    const bool huge = bytes >= kHugePage;
    if (bytes > SIZE_MAX / 2) fail("OUT_OF_MEMORY", "%zu bytes of memory are more than an address space", bytes);
    length_ = huge ? round_up(bytes, kHugePage) + kHugePage : round_up(std::max<size_t>(bytes, 1), 4096) + kGuard;
    mapping_ = ::mmap(nullptr, length_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping_ == MAP_FAILED) fail("OUT_OF_MEMORY", "%zu bytes of memory could not be had: %s", bytes, std::strerror(errno));
    data_ = mapping_;
    if (huge) {
      data_ = reinterpret_cast<void*>(round_up(reinterpret_cast<size_t>(mapping_), kHugePage));
      ::madvise(data_, length_ - kHugePage, MADV_HUGEPAGE);  // advice: slower without, not wrong
    } else if (kGuard > 0) {
      uint8_t* guard = static_cast<uint8_t*>(mapping_) + length_ - kGuard;
      if (::mprotect(guard, kGuard, PROT_NONE) != 0) fail("OUT_OF_MEMORY", "a guard could not be had: %s", std::strerror(errno));
      data_ = guard - round_up(bytes, 64);
    }
  }
  ~MappedBuffer() override { ::munmap(mapping_, length_); }
  MappedBuffer(const MappedBuffer&) = delete;
  MappedBuffer& operator=(const MappedBuffer&) = delete;

  void* address() const override { return data_; }

 private:
  void* mapping_;
  size_t length_;
  void* data_;
};

}  // namespace

std::unique_ptr<Buffer> map_memory(size_t bytes) {
  return std::make_unique<MappedBuffer>(bytes);
}

std::shared_ptr<uint8_t> Arena::allocate(size_t bytes) {
  const size_t rounded = round_up(std::max<size_t>(bytes, 1), 64);
  if (!chunk_ || rounded > size_ - used_) {
    const size_t size = std::max(rounded, kChunk);
    chunk_ = map_memory(size);
    size_ = size;
    used_ = 0;
  }
  std::shared_ptr<uint8_t> piece(chunk_, static_cast<uint8_t*>(chunk_->address()) + used_);
  used_ += rounded;
  return piece;
}

uint8_t* Scratch::reserve(size_t bytes) {
  if (bytes > size) {
    buffer.reset();
    size = 0;
    buffer = map_memory(bytes);
    size = bytes;
  }
  return buffer ? static_cast<uint8_t*>(buffer->address()) : nullptr;
}

}  // namespace kvasir::cpu
