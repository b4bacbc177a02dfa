#include "addon/exports.h"

#include "addon/backends.h"
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

Napi::Value gpu_count(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value { return Napi::Number::New(info.Env(), kvasir::gpu_count()); });
}

Napi::Value gpu_free_bytes(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::optional<int64_t> bytes =
        info[0].IsNumber() ? kvasir::gpu_free_bytes(info[0].As<Napi::Number>().Int32Value()) : std::nullopt;
    return bytes ? Napi::Number::New(info.Env(), static_cast<double>(*bytes)) : info.Env().Undefined();
  });
}

}  // namespace

void set_exports(Napi::Env env, Napi::Object exports, BackendFactory create_backend) {
  Workers::attach(env);
  exports.Set("Engine", EngineObject::define(env, create_backend));
  exports.Set("isas", Napi::Function::New<isas>(env, "isas"));
  exports.Set("gpuCount", Napi::Function::New<gpu_count>(env, "gpuCount"));
  exports.Set("gpuFreeBytes", Napi::Function::New<gpu_free_bytes>(env, "gpuFreeBytes"));
}

}  // namespace kvasir
