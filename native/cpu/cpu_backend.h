#pragma once
// The CPU back end: picks the kernels of one instruction set, owns the thread pool and the kernels' scratch.
#include <memory>
#include <string>

#include "ops/backend.h"

namespace kvasir::cpu {

// `isa` is a name of available_kernels(); throws UNSUPPORTED_DEVICE. `threads` counts the calling thread, 1 to 256.
std::unique_ptr<Backend> create_backend(const std::string& isa, int threads);

// The processor's brand string.
std::string processor_name();

}  // namespace kvasir::cpu
