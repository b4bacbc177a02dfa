// The addon kvasir.node.
#include <napi.h>

#include "addon/backends.h"
#include "addon/exports.h"

static Napi::Object initialize_addon(Napi::Env env, Napi::Object exports) {
  kvasir::set_exports(env, exports, kvasir::create_backend);
  return exports;
}
NODE_API_MODULE(kvasir, initialize_addon)
