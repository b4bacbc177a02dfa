#pragma once
// The back ends of this build, by the kind of their device.
#include <optional>

#include "engine/config.h"

namespace kvasir {

// Throws UNSUPPORTED_DEVICE for a kind that this build or machine does not have.
std::unique_ptr<Backend> create_backend(const DeviceConfig& device);

// GPUs: 0 without a driver, or in a build without CUDA.
int gpu_count();
// Of a GPU, at the moment; nothing if there is no such GPU or this build does not run on it.
std::optional<int64_t> gpu_free_bytes(int index);

}  // namespace kvasir
