#pragma once
// The class `Engine` of the addon: NativeEngine in lib/native/addon.ts.
#include <napi.h>

#include <memory>

#include "addon/worker.h"
#include "engine/engine.h"

namespace kvasir {

class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  // `create_backend` makes the back ends of the class's engines.
  static Napi::Function define(Napi::Env env, BackendFactory create_backend);
  explicit EngineObject(const Napi::CallbackInfo& info);

  Engine& engine() { return *engine_; }
  Worker& worker() { return *worker_; }

 private:
  Napi::Value load(const Napi::CallbackInfo& info);
  void set_slot(const Napi::CallbackInfo& info);
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value choose(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  int slot_argument(const Napi::CallbackInfo& info) const;
  Napi::Promise submit(std::unique_ptr<Task> task);  // throws CLOSED

  // Destroyed in reverse: the worker's thread ends before the engine that it uses.
  std::unique_ptr<Engine> engine_;
  Napi::ObjectReference closing_;  // close()'s promise, once it was called: every call gets the same
  std::unique_ptr<Worker> worker_;
};

}  // namespace kvasir
