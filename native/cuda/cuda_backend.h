#pragma once
// The CUDA back end: one device, one stream. A step's ops are captured once for each size and launched as one graph.
#include <memory>
#include <string>
#include <vector>

#include "ops/backend.h"

namespace kvasir::cuda {

struct DeviceInfo {
  int index;
  std::string name;
  int64_t total_bytes, free_bytes;
};

// The devices that run this build's kernels; none without a driver.
std::vector<DeviceInfo> list_devices();

// Throws UNSUPPORTED_DEVICE, with the reason, without a driver or a device that runs this build's kernels.
std::unique_ptr<Backend> create_backend(int device);

}  // namespace kvasir::cuda
