#pragma once
// A back end for tests that computes with the CPU's kernels and behaves like a device, so that what a GPU asks of the engine is held by
// tests on machines without one:
//
//   - its addresses fault when the host dereferences them; only its ops translate them
//   - a thread that calls it has to enter it first
//   - ops run later, in order, on a thread of their own; results arrive by events
//   - a step's inputs lie at fixed addresses, and small steps are padded to sizes that are powers of two
//   - replay() records a small step's ops once for each size and plays them back
#include <memory>
#include <string>

#include "ops/backend.h"

namespace kvasir::testing {

std::unique_ptr<Backend> create_device_backend(const std::string& isa, int threads);

}  // namespace kvasir::testing
