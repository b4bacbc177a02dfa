#include "cuda/runtime.h"

#include <algorithm>
#include <utility>

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

Scratch::~Scratch() {
  cudaFree(place_);
}

void* Scratch::reserve(size_t bytes) {
  if (bytes <= bytes_) return place_;
  if (bytes >= refused_) return nullptr;
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "the device's memory");
  if ((free + bytes_) / 2 < bytes) {
    refused_ = bytes;
    return nullptr;
  }
  check(cudaDeviceSynchronize(), "launches that use the memory");
  cudaFree(std::exchange(place_, nullptr));
  bytes_ = 0;
  if (cudaMalloc(&place_, bytes) != cudaSuccess) {  // another process was quicker
    cudaGetLastError();
    refused_ = bytes;
    return place_ = nullptr;
  }
  bytes_ = bytes;
  return place_;
}

}  // namespace kvasir::cuda
