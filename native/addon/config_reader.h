#pragma once
// NativeConfig and SlotConfig of lib/native/addon.ts as their C++ twins; every value is checked as it is read.
#include "addon/args.h"
#include "engine/config.h"
#include "ops/sample.h"

namespace kvasir {

Activation read_activation(const Args& args, const char* name);
Compute read_compute(const Args& args, const char* name);
EngineConfig read_engine_config(const Args& args);
SlotConfig read_slot_config(const Args& args, int vocab_size);

}  // namespace kvasir
