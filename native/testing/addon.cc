// The addon of the tests: what kvasir.node exports, with a back end that behaves like a device, single ops, and failures on purpose.
// TestModule in test/support/addon.ts.
#include <napi.h>

#include <cfenv>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "addon/args.h"
#include "addon/backends.h"
#include "addon/errors.h"
#include "addon/exports.h"
#include "testing/device_backend.h"
#include "testing/faults.h"
#include "testing/op_call.h"

namespace kvasir::testing {
namespace {

std::unique_ptr<Backend> create_test_backend(const DeviceConfig& device) {
  return device.kind == "device" ? create_device_backend(device.isa, device.threads) : create_backend(device);
}

Napi::Value op(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return op_call(info); });
}

// spoilFloats(): the calling thread rounds upward and takes subnormal numbers for 0 from now on, as another addon may leave it.
void spoil_floats(const Napi::CallbackInfo&) {
  std::fesetround(FE_UPWARD);
#if defined(__x86_64__)
  constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x40;
  _mm_setcsr(_mm_getcsr() | kFlushToZero | kDenormalsAreZero);
#endif
}

// failOp(n, code): the n-th op from now on fails. failRecord(n, code): likewise of events.
template <Faults& faults()>
void plan_failure(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { faults().plan(integer_value("n", info[0], 0, kMostSize), info[1].ToString()); });
}

template <Faults& faults()>
Napi::Value calls(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(faults().calls()));
}

// Ends the process: what the engine must never do with an address of a device.
Napi::Value dereference(const Napi::CallbackInfo& info) {
  const auto backend = create_device_backend("portable", 1);
  backend->enter_thread();
  const auto buffer = backend->allocate(64);
  return Napi::Number::New(info.Env(), *static_cast<volatile float*>(buffer->address()));
}

}  // namespace
}  // namespace kvasir::testing

static Napi::Object initialize_test_addon(Napi::Env env, Napi::Object exports) {
  namespace testing = kvasir::testing;
  kvasir::set_exports(env, exports, testing::create_test_backend);
  exports.Set("op", Napi::Function::New<testing::op>(env, "op"));
  exports.Set("spoilFloats", Napi::Function::New<testing::spoil_floats>(env, "spoilFloats"));
  exports.Set("failOp", Napi::Function::New<testing::plan_failure<testing::op_faults>>(env, "failOp"));
  exports.Set("failRecord", Napi::Function::New<testing::plan_failure<testing::record_faults>>(env, "failRecord"));
  exports.Set("opsRun", Napi::Function::New<testing::calls<testing::op_faults>>(env, "opsRun"));
  exports.Set("recordings", Napi::Function::New<testing::calls<testing::recording_faults>>(env, "recordings"));
  exports.Set("dereference", Napi::Function::New<testing::dereference>(env, "dereference"));
  return exports;
}
NODE_API_MODULE(kvasir_test, initialize_test_addon)
