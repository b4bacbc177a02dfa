#pragma once
// The class `Engine` of the addon: NativeEngine in lib/native.ts.
#include <napi.h>

#include <memory>

#include "addon/worker.h"
#include "engine/engine.h"

namespace kvasir {

class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit EngineObject(const Napi::CallbackInfo& info);

  Engine& engine() { return *engine_; }
  Worker& worker() { return *worker_; }

 private:
  Napi::Value load(const Napi::CallbackInfo& info);
  void set_slot(const Napi::CallbackInfo& info);
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value sample(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  Napi::Promise submit(std::unique_ptr<Task> task);  // throws CLOSED

  // Destroyed in reverse: the worker's thread ends before the engine that it uses.
  std::unique_ptr<Engine> engine_;
  int vocab_size_ = 0;
  int max_slots_ = 0;
  int groups_ = 0;
  Napi::ObjectReference closing_;  // close()'s promise, once it was called: every call gets the same
  std::unique_ptr<Worker> worker_;
};

}  // namespace kvasir
