#pragma once
// A matrix in device memory: its rows as they are in the file (rows of whole blocks), one after the other.
#include "cuda/runtime.h"

namespace kvasir::cuda {

struct DeviceWeight : Weight {
  std::unique_ptr<DeviceBuffer> data;
  int64_t row_bytes = 0;
};

// The same for kernels.
struct WeightRows {
  const uint8_t* data;
  int64_t row_bytes;
  int rows;
  int cols;
  DType type;
};

inline WeightRows rows_of(const Weight& weight) {
  const auto& device = static_cast<const DeviceWeight&>(weight);
  return {static_cast<const uint8_t*>(device.data->address()), device.row_bytes, device.rows, device.cols, device.type};
}

}  // namespace kvasir::cuda
