#pragma once
// The CUDA back end: one device, one stream. A step's ops are captured once for each size and launched as one graph.
#include <memory>
#include <optional>

#include "ops/backend.h"

namespace kvasir::cuda {

// 0 without a driver.
int device_count();
// Of a device, at the moment; nothing if there is no such device or it does not run this build's kernels. Takes a context on it.
std::optional<int64_t> free_bytes(int device);

// Throws UNSUPPORTED_DEVICE, with the reason, without a driver or a device that runs this build's kernels.
std::unique_ptr<Backend> create_backend(int device);

}  // namespace kvasir::cuda
