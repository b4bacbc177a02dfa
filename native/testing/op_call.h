#pragma once
// op(name, { isa, threads, repeat }, args): one op of the CPU back end on the caller's arrays. See TestModule in test/support/addon.ts.
#include <napi.h>

namespace kvasir::testing {

// Whatever is passed, it answers with { seconds }, or throws.
Napi::Value op_call(const Napi::CallbackInfo& info);

}  // namespace kvasir::testing
