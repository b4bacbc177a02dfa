#include "cuda/runtime.h"

#include <algorithm>

namespace kvasir::cuda {

DeviceBuffer::DeviceBuffer(size_t bytes) {
  const size_t size = std::max<size_t>(bytes, 1);
  check(cudaMalloc(&data_, size), "device memory");
  // The clearing runs on the legacy stream, for which the engine's does not wait.
  cudaError_t status = cudaMemset(data_, 0, size);
  if (status == cudaSuccess) status = cudaStreamSynchronize(cudaStreamLegacy);
  if (status != cudaSuccess) cudaFree(data_);
  check(status, "clearing device memory");
}

DeviceBuffer::~DeviceBuffer() {
  cudaFree(data_);
}

void* Scratch::reserve(size_t bytes) {
  if (bytes <= bytes_) return buffer_->address();
  if (bytes >= refused_) return nullptr;
  buffer_.reset();  // when the launches that use it are done: freeing waits for them
  bytes_ = 0;
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "the device's memory");
  if (free / 2 < bytes) {
    refused_ = bytes;
    return nullptr;
  }
  buffer_ = std::make_unique<DeviceBuffer>(bytes);
  bytes_ = bytes;
  return buffer_->address();
}

}  // namespace kvasir::cuda
