#pragma once
// What the addon exports: NativeModule in lib/native/addon.ts.
#include <napi.h>

#include "addon/backends.h"

namespace kvasir {

// `create_backend` makes the back ends of the engines, `list_gpus` tells where.
void set_exports(Napi::Env env, Napi::Object exports, BackendFactory create_backend, GpuList list_gpus);

}  // namespace kvasir
