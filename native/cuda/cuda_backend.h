#pragma once
// The CUDA back end: one device, one stream. A step's ops are captured once for each size and launched as one graph.
#include <memory>

#include "ops/backend.h"

namespace kvasir::cuda {

// Throws UNSUPPORTED_DEVICE, with the reason, without a driver or a device that runs this build's kernels.
std::unique_ptr<Backend> create_backend(int device);

}  // namespace kvasir::cuda
