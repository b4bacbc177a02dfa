#pragma once
// The back ends of this build, by the kind of their device.
#include "engine/config.h"

namespace kvasir {

// Throws UNSUPPORTED_DEVICE for a kind that this build or machine does not have.
std::unique_ptr<Backend> create_backend(const DeviceConfig& device);

}  // namespace kvasir
