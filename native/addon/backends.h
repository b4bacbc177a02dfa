#pragma once
// The back ends of this build, by the kind of their device.
#include <string>
#include <vector>

#include "engine/config.h"

namespace kvasir {

// Throws UNSUPPORTED_DEVICE for a kind that this build or machine does not have.
std::unique_ptr<Backend> create_backend(const DeviceConfig& device);

// The GPUs that the build's kernels run on; none without a driver. Free bytes are of the moment.
struct Gpu {
  int index;
  std::string name;
  int64_t total_bytes, free_bytes;
};
using GpuList = std::vector<Gpu> (*)();
std::vector<Gpu> list_gpus();

}  // namespace kvasir
