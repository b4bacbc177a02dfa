#pragma once
// The CUDA runtime with our errors: every call's status is checked where it is made.
#include <cuda_runtime.h>

#include <memory>

#include "ops/memory.h"
#include "tensor/status.h"

namespace kvasir::cuda {

inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // a failure that is not sticky is told once
  fail(status == cudaErrorMemoryAllocation ? "OUT_OF_MEMORY" : "INTERNAL", "%s: %s", what, cudaGetErrorString(status));
}

// Throws what is wrong with the launch just made.
inline void check_launch(const char* kernel) {
  check(cudaGetLastError(), kernel);
}

// Device memory, zero at birth.
class DeviceBuffer : public Buffer {
 public:
  explicit DeviceBuffer(size_t bytes);
  ~DeviceBuffer() override;
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  void* address() const override { return data_; }

 private:
  void* data_ = nullptr;
};

// Device memory for a stream's launches, one after the other: as much as the largest of them asked for.
class Scratch {
 public:
  Scratch() = default;
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // So many bytes until the next call. Null, then and for so many or more from then on, unless the device has twice as many: half is left
  // for graphs and other processes. Not while launches are recorded.
  void* reserve(size_t bytes);

 private:
  void* place_ = nullptr;
  size_t bytes_ = 0, refused_ = SIZE_MAX;
};

// Host memory that the device copies from and to by itself.
template <class Element>
class Pinned {
 public:
  explicit Pinned(size_t count) { check(cudaMallocHost(&data_, (count == 0 ? 1 : count) * sizeof(Element)), "pinned memory"); }
  ~Pinned() { cudaFreeHost(data_); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

  Element* data() const { return data_; }

 private:
  Element* data_ = nullptr;
};

}  // namespace kvasir::cuda
