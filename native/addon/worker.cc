#include "addon/worker.h"

namespace kvasir {

void Task::execute() noexcept {
  try {
    run();
  } catch (...) {
    failure_ = current_failure();
  }
}

void Task::deliver(Napi::Env env) {
  if (worker_ != nullptr) worker_->settled();
  if (!failure_) {
    try {
      deferred_.Resolve(result(env));
      return;
    } catch (const Napi::Error& error) {
      deferred_.Reject(error.Value());
      return;
    } catch (...) {
      failure_ = current_failure();
    }
  }
  deferred_.Reject(to_js(env, *failure_).Value());
}

Worker::Worker(Napi::Env env) : env_(env) {
  napi_value name = Napi::String::New(env, "kvasir");
  if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, call_js, &channel_) != napi_ok) {
    fail("INTERNAL", "the channel back to JavaScript could not be made");
  }
  napi_unref_threadsafe_function(env, channel_);
  napi_add_env_cleanup_hook(env, on_environment_exit, this);
  thread_ = std::thread([this] { loop(); });
}

Worker::~Worker() { stop(); }

Napi::Promise Worker::submit(std::unique_ptr<Task> task) {
  Napi::Promise promise = task->promise();
  if (stopped_) {
    task->refuse({"CLOSED", "the engine is closed"});
    task->deliver(env_);
    return promise;
  }
  task->worker_ = this;
  if (pending_++ == 0) napi_ref_threadsafe_function(env_, channel_);
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
  return promise;
}

void Worker::settled() {
  if (--pending_ == 0 && !stopped_) napi_unref_threadsafe_function(env_, channel_);
}

// Ends the thread after the task that runs now. Tasks that wait are dropped: close() runs as the last task, and at the environment's exit
// nobody is left to hear of them.
void Worker::stop() {
  if (stopped_) return;
  stopped_ = true;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
  napi_remove_env_cleanup_hook(env_, on_environment_exit, this);
  napi_release_threadsafe_function(channel_, napi_tsfn_release);
}

void Worker::on_environment_exit(void* self) { static_cast<Worker*>(self)->stop(); }

void Worker::post(std::unique_ptr<Message> message) {
  Message* raw = message.release();
  if (napi_call_threadsafe_function(channel_, raw, napi_tsfn_nonblocking) != napi_ok) delete raw;
}

void Worker::loop() {
  for (;;) {
    std::unique_ptr<Task> task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
      if (stopping_) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task->execute();
    post(std::move(task));
  }
}

void Worker::call_js(napi_env env, napi_value, void*, void* data) {
  Message* message = static_cast<Message*>(data);
  // Without an environment its references can't be given back any more: they went with it, and the message is left alone.
  if (env == nullptr) return;
  const std::unique_ptr<Message> owned(message);
  Napi::HandleScope scope(env);
  message->deliver(env);
}

}  // namespace kvasir
