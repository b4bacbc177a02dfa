#pragma once
// What an engine is made of: the C++ twin of NativeConfig in lib/native/addon.ts, with the same names.
#include <memory>
#include <optional>
#include <string>

#include "model/spec.h"
#include "ops/backend.h"

namespace kvasir {

// `kind` names a back end; the other fields are those that its kind has in DeviceConfig of lib/native/addon.ts.
struct DeviceConfig {
  std::string kind;
  std::string isa;
  int threads = 1;
  int index = 0;
};

struct EngineConfig : ModelConfig {
  DeviceConfig device;
  int max_slots;
  // A smaller model that guesses tokens. Both have all cache groups, of which one has the layers of each: those that have none of a model's
  // layers are the other's. Other sizes are equal.
  std::optional<ModelConfig> draft;
};

// Makes the back end of a device, or throws UNSUPPORTED_DEVICE. Whoever makes an engine brings one: the engine knows no back end.
using BackendFactory = std::unique_ptr<Backend> (*)(const DeviceConfig&);

}  // namespace kvasir
