#pragma once
// One crossing per step: StepBuffers in, results back into the same object.
#include <napi.h>

#include <algorithm>
#include <vector>

#include "addon/engine_object.h"

namespace kvasir {

// A JavaScript array of its own with the same elements.
template <class Array, class Element>
Array copy_array(Napi::Env env, const std::vector<Element>& elements) {
  Array array = Array::New(env, elements.size());
  std::copy(elements.begin(), elements.end(), array.Data());
  return array;
}

class StepTask : public Task {
 public:
  StepTask(EngineObject& object, Napi::Object buffers, int groups, int max_slots);

 protected:
  void run() override { object_.engine().step(batch_, result_); }
  Napi::Value result(Napi::Env env) override;

 private:
  EngineObject& object_;
  Napi::ObjectReference buffers_;
  Batch batch_;
  StepResult result_;
};

}  // namespace kvasir
