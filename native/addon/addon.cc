// Every name that the addon exports: NativeModule in lib/native.ts.
#include <napi.h>

#include "addon/engine_object.h"
#include "addon/op_call.h"
#include "cpu/kernels.h"

namespace kvasir {
namespace {

Napi::Value isas(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Napi::Array names = Napi::Array::New(info.Env());
    for (const cpu::Kernels* kernels : cpu::available_kernels()) names.Set(names.Length(), kernels->isa);
    return names;
  });
}

Napi::Value op(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return op_call(info); });
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("Engine", EngineObject::define(env));
  exports.Set("isas", Napi::Function::New<isas>(env, "isas"));
  exports.Set("op", Napi::Function::New<op>(env, "op"));
  return exports;
}

}  // namespace
}  // namespace kvasir

static Napi::Object initialize_addon(Napi::Env env, Napi::Object exports) {
  return kvasir::initialize(env, exports);
}
NODE_API_MODULE(kvasir, initialize_addon)
