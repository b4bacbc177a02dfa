#pragma once
// What the addon exports: NativeModule in lib/native/addon.ts.
#include <napi.h>

#include "engine/config.h"

namespace kvasir {

// `create_backend` makes the back ends of the engines.
void set_exports(Napi::Env env, Napi::Object exports, BackendFactory create_backend);

}  // namespace kvasir
