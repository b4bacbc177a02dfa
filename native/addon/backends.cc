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
  fail("UNSUPPORTED_DEVICE", "device is %s, which this build of kvasir does not have", device.kind.c_str());
}

std::vector<Gpu> list_gpus() {
  std::vector<Gpu> gpus;
#ifdef KVASIR_CUDA
  for (const cuda::DeviceInfo& each : cuda::list_devices()) gpus.push_back({each.index, each.name, each.total_bytes, each.free_bytes});
#endif
  return gpus;
}

}  // namespace kvasir
