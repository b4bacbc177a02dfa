#pragma once
// A matrix in device memory: packed (cuda/packed.cuh) for the tensor cores, or as it is in the file.
#include "cuda/runtime.h"

namespace kvasir::cuda {

// What kernels see of it: panels of 16 rows, or rows.
struct WeightView {
  const uint8_t* data;
  int64_t stride;  // bytes from one to the next
  int rows;
  int cols;
  DType type;
  bool packed;
};

struct DeviceWeight : Weight {
  std::unique_ptr<DeviceBuffer> data;
  int64_t stride = 0;
  bool packed = false;
};

inline WeightView view_of(const Weight& weight) {
  const auto& device = static_cast<const DeviceWeight&>(weight);
  return {static_cast<const uint8_t*>(device.data->address()), device.stride, device.rows, device.cols, device.type, device.packed};
}

std::unique_ptr<DeviceWeight> create_weight(DType type, Compute compute, int rows, int cols);

// Rows [first, first + count) of the file's layout, in device memory, into their place. `first` is a multiple of 16.
void pack_rows(const DeviceWeight& weight, int first, int count, const uint8_t* file_rows, cudaStream_t stream);

}  // namespace kvasir::cuda
