#include "addon/backends.h"

#include "cpu/cpu_backend.h"
#include "tensor/status.h"

namespace kvasir {

std::unique_ptr<Backend> create_backend(const DeviceConfig& device) {
  if (device.kind == "cpu") return cpu::create_backend(device.isa, device.threads);
  fail("UNSUPPORTED_DEVICE", "device is %s; expected cpu", device.kind.c_str());
}

}  // namespace kvasir
