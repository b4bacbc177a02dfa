#pragma once
// What every entry of the addon runs in: kvasir::Error becomes a JavaScript error with `code`, and no C++ exception leaves it otherwise; the
// floating-point environment is ours.
#include <napi.h>

#include <new>
#include <string>
#include <system_error>
#include <utility>

#include "tensor/float_environment.h"
#include "tensor/status.h"

namespace kvasir {

struct Failure {
  std::string code;
  std::string message;
};

// What is being thrown, as code and message. Call it inside a catch block.
inline Failure current_failure() {
  try {
    throw;
  } catch (const Error& error) {
    return {error.code(), error.what()};
  } catch (const std::bad_alloc&) {
    return {"OUT_OF_MEMORY", "out of memory"};
  } catch (const std::system_error& error) {  // of std::thread
    return {"OUT_OF_MEMORY", std::string("a thread could not be started: ") + error.what()};
  } catch (const std::exception& error) {
    return {"INTERNAL", error.what()};
  } catch (...) {
    return {"INTERNAL", "an unknown failure"};
  }
}

inline Napi::Error to_js(Napi::Env env, const Failure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.message);
  error.Value().Set("code", failure.code);
  return error;
}

// Runs an entry of the addon that returns or throws.
template <class Body>
auto guarded(Napi::Env env, Body&& body) {
  const FloatEnvironment ours;
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;  // JavaScript's own, on its way back
  } catch (...) {
    throw to_js(env, current_failure());
  }
}

// Runs an entry of the addon that returns a promise, which rejects with what `body` throws.
template <class Body>
Napi::Value promised(Napi::Env env, Body&& body) {
  const FloatEnvironment ours;
  const auto deferred = [&] { return Napi::Promise::Deferred::New(env); };
  try {
    return body();
  } catch (const Napi::Error& error) {
    const auto refused = deferred();
    refused.Reject(error.Value());
    return refused.Promise();
  } catch (...) {
    const Napi::Error error = to_js(env, current_failure());
    const auto refused = deferred();
    refused.Reject(error.Value());
    return refused.Promise();
  }
}

}  // namespace kvasir
