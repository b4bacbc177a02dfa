#pragma once
// op(name, { isa, threads, repeat }, args): one op of a back end on the caller's arrays. See NativeModule in lib/native/addon.ts.
#include <napi.h>

namespace kvasir {

Napi::Value op_call(const Napi::CallbackInfo& info);

}  // namespace kvasir
