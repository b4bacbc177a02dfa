#pragma once
// NativeConfig and SlotConfig of lib/native/addon.ts as their C++ twins; every value is checked as it is read.
#include <napi.h>

#include "addon/args.h"
#include "engine/config.h"
#include "ops/sample.h"

namespace kvasir {

EngineConfig read_engine_config(Napi::Object object);
// What is missing is an error without `defaults`.
SampleParams read_sample_params(const Args& args, const SampleParams* defaults = nullptr);
SlotConfig read_slot_config(Napi::Object object, int vocab_size);

}  // namespace kvasir
