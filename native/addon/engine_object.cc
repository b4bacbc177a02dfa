#include "addon/engine_object.h"

#include "addon/args.h"
#include "addon/config_reader.h"
#include "addon/step_task.h"

namespace kvasir {
namespace {

// Bytes read so far, for load()'s callback.
class ProgressMessage : public Message {
 public:
  ProgressMessage(const Napi::FunctionReference& callback, int64_t done, int64_t total) : callback_(callback), done_(done), total_(total) {}
  void deliver(Napi::Env env) override {
    napi_value arguments[] = {Napi::Number::New(env, double(done_)), Napi::Number::New(env, double(total_))}, ignored;
    // A callback that throws is JavaScript's affair: its exception is dropped here, loading goes on.
    if (napi_call_function(env, env.Undefined(), callback_.Value(), 2, arguments, &ignored) == napi_pending_exception) {
      napi_get_and_clear_last_exception(env, &ignored);
    }
  }

 private:
  const Napi::FunctionReference& callback_;  // of the LoadTask, which is delivered after its messages
  int64_t done_, total_;
};

class LoadTask : public Task {
 public:
  LoadTask(EngineObject& object, Napi::Function callback) : Task(object.Value()), object_(object), callback_(Napi::Persistent(callback)) {}

 protected:
  bool start() override {
    int64_t told = 0;
    object_.engine().load([&](int64_t done, int64_t total) {
      if (done < total && (done - told) * 100 < total) return;  // a hundred messages at most
      told = done;
      object_.worker().post(std::make_unique<ProgressMessage>(callback_, done, total));
    });
    // Noted here: when result() runs, close() may have released the engine.
    weight_bytes_ = object_.engine().weight_bytes();
    cache_bytes_ = object_.engine().cache_bytes();
    processor_ = object_.engine().processor();
    return false;
  }
  Napi::Value result(Napi::Env env) override {
    Napi::Object info = Napi::Object::New(env);
    info.Set("weightBytes", double(weight_bytes_));
    info.Set("kvCacheBytes", double(cache_bytes_));
    info.Set("processor", processor_);
    return info;
  }

 private:
  EngineObject& object_;
  Napi::FunctionReference callback_;
  size_t weight_bytes_ = 0, cache_bytes_ = 0;
  std::string processor_;
};

class SlotTask : public Task {
 public:
  SlotTask(EngineObject& object, int slot, SlotConfig config)
      : Task(object.Value()), object_(object), slot_(slot), config_(std::move(config)) {}

 protected:
  bool start() override {
    object_.engine().set_slot(slot_, std::move(config_));
    return false;
  }

 private:
  EngineObject& object_;
  int slot_;
  SlotConfig config_;
};

class CloseTask : public Task {
 public:
  explicit CloseTask(EngineObject& object) : Task(object.Value()), object_(object) {}

 protected:
  bool start() override { return true; }  // what was started before refers to what is released
  void finish() override { object_.engine().release(); }
  Napi::Value result(Napi::Env env) override {
    object_.worker().stop();
    return env.Undefined();
  }

 private:
  EngineObject& object_;
};

Napi::Object object_argument(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsObject()) fail("INVALID_ARGUMENT", "argument %zu is %s; expected an object", index, kind_name(info[index]));
  return info[index].As<Napi::Object>();
}

}  // namespace

Napi::Function EngineObject::define(Napi::Env env, BackendFactory create_backend) {
  return DefineClass(env, "Engine",
                     {InstanceMethod<&EngineObject::load>("load"), InstanceMethod<&EngineObject::set_slot>("setSlot"),
                      InstanceMethod<&EngineObject::step>("step"), InstanceMethod<&EngineObject::choose>("choose"),
                      InstanceMethod<&EngineObject::close>("close")},
                     reinterpret_cast<void*>(create_backend));
}

EngineObject::EngineObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  guarded(info.Env(), [&] {
    EngineConfig config = read_engine_config(Args(object_argument(info, 0)));
    engine_ = std::make_unique<Engine>(std::move(config), reinterpret_cast<BackendFactory>(info.Data()));
    worker_ = std::make_unique<Worker>(info.Env(), [this] { engine_->cancel(); });
  });
}

Napi::Promise EngineObject::submit(std::unique_ptr<Task> task) {
  if (!closing_.IsEmpty()) fail("CLOSED", "the engine is closed");
  return worker_->submit(std::move(task));
}

Napi::Value EngineObject::load(const Napi::CallbackInfo& info) {
  return promised(info.Env(), [&]() -> Napi::Value {
    if (!info[0].IsFunction()) fail("INVALID_ARGUMENT", "load needs a progress function");
    return submit(std::make_unique<LoadTask>(*this, info[0].As<Napi::Function>()));
  });
}

// The slot that argument 0 names.
int EngineObject::slot_argument(const Napi::CallbackInfo& info) const {
  return integer_value("slot", info[0], 0, engine_->config().max_slots - 1);
}

void EngineObject::set_slot(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    SlotConfig config = read_slot_config(Args(object_argument(info, 1)), engine_->config().spec.vocab_size);
    auto task = std::make_unique<SlotTask>(*this, slot_argument(info), std::move(config));
    if (!closing_.IsEmpty()) fail("CLOSED", "the engine is closed");
    worker_->submit_unawaited(std::move(task));
  });
}

Napi::Value EngineObject::step(const Napi::CallbackInfo& info) {
  return promised(info.Env(), [&]() -> Napi::Value { return submit(std::make_unique<StepTask>(*this, object_argument(info, 0))); });
}

Napi::Value EngineObject::choose(const Napi::CallbackInfo& info) {
  return promised(info.Env(), [&]() -> Napi::Value {
    const auto logits = array_value<float>("logits", info[1], static_cast<size_t>(engine_->config().spec.vocab_size));
    std::vector<float> copy(logits.begin(), logits.end());
    return submit(std::make_unique<ChoiceTask>(*this, slot_argument(info), std::move(copy), object_argument(info, 2)));
  });
}

Napi::Value EngineObject::close(const Napi::CallbackInfo& info) {
  return promised(info.Env(), [&]() -> Napi::Value {
    if (closing_.IsEmpty()) {
      engine_->cancel();
      closing_ = Napi::Persistent(static_cast<Napi::Object>(submit(std::make_unique<CloseTask>(*this))));
    }
    return closing_.Value();
  });
}

}  // namespace kvasir
