#pragma once
// One crossing per step: StepBuffers in, results back into the same object's arrays.
#include <napi.h>

#include "addon/engine_object.h"

namespace kvasir {

class StepTask : public Task {
 public:
  StepTask(EngineObject& object, Napi::Object buffers);

 protected:
  bool start() override;
  void finish() override { object_.engine().wait(step_.event); }
  Napi::Value result(Napi::Env env) override;

 private:
  EngineObject& object_;
  Napi::ObjectReference buffers_;
  Step step_;
};

// A token for a slot from logits that a processor changed; the result goes into the arrays of `results`, as that of a step of one output.
class ChoiceTask : public Task {
 public:
  ChoiceTask(EngineObject& object, int slot, std::vector<float> logits, Napi::Object results);

 protected:
  bool start() override;
  void finish() override { object_.engine().wait(choice_.event); }
  Napi::Value result(Napi::Env env) override;

 private:
  EngineObject& object_;
  Napi::ObjectReference results_;
  PendingChoice choice_;
};

}  // namespace kvasir
