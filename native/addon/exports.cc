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

Napi::Value gpus(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Napi::Array list = Napi::Array::New(info.Env());
    for (const Gpu& gpu : reinterpret_cast<GpuList>(info.Data())()) {
      Napi::Object each = Napi::Object::New(info.Env());
      each.Set("index", gpu.index);
      each.Set("name", gpu.name);
      each.Set("totalBytes", static_cast<double>(gpu.total_bytes));
      each.Set("freeBytes", static_cast<double>(gpu.free_bytes));
      list.Set(list.Length(), each);
    }
    return list;
  });
}

}  // namespace

void set_exports(Napi::Env env, Napi::Object exports, BackendFactory create_backend, GpuList list_gpus) {
  exports.Set("Engine", EngineObject::define(env, create_backend));
  exports.Set("isas", Napi::Function::New<isas>(env, "isas"));
  exports.Set("gpus", Napi::Function::New<gpus>(env, "gpus", reinterpret_cast<void*>(list_gpus)));
}

}  // namespace kvasir
