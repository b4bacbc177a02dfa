#include "addon/backends.h"

#include "cpu/cpu_backend.h"
#ifdef KVASIR_CUDA
#include "cuda/cuda_backend.h"
#endif
#include "tensor/status.h"

namespace kvasir {

std::unique_ptr<Backend> create_backend(const DeviceConfig& device) {
  if (device.kind == "cpu") return cpu::create_backend(device.isa, device.threads);
#ifdef KVASIR_CUDA
  if (device.kind == "cuda") return cuda::create_backend(device.index);
#endif
  fail("UNSUPPORTED_DEVICE", "device is %s:%d, which this build of kvasir does not have; expected cpu", device.kind.c_str(), device.index);
}

int gpu_count() {
#ifdef KVASIR_CUDA
  return cuda::device_count();
#else
  return 0;
#endif
}

std::optional<int64_t> gpu_free_bytes([[maybe_unused]] int index) {
#ifdef KVASIR_CUDA
  return cuda::free_bytes(index);
#else
  return {};
#endif
}

}  // namespace kvasir
