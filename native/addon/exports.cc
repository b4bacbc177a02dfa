#include "addon/exports.h"

#include "addon/engine_object.h"
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

}  // namespace

void set_exports(Napi::Env env, Napi::Object exports, BackendFactory create_backend) {
  exports.Set("Engine", EngineObject::define(env, create_backend));
  exports.Set("isas", Napi::Function::New<isas>(env, "isas"));
}

}  // namespace kvasir
