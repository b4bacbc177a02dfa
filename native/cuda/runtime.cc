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

}  // namespace kvasir::cuda
