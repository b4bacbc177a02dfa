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
  worker_->delivered();
  if (deferred_) settle(env);
}

void Task::settle(Napi::Env env) {
  if (!failure_) {
    try {
      deferred_->Resolve(result(env));
      return;
    } catch (const Napi::Error& error) {
      deferred_->Reject(error.Value());
      return;
    } catch (...) {
      failure_ = current_failure();
    }
  }
  deferred_->Reject(to_js(env, *failure_).Value());
}

Worker::Worker(Napi::Env env, std::function<void()> interrupt) : env_(env), interrupt_(std::move(interrupt)) {
  napi_value name = Napi::String::New(env, "kvasir");
  thread_ = std::thread([this] { loop(); });
  if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, call_js, &channel_) != napi_ok) {
    end_thread();
    fail("INTERNAL", "the channel back to JavaScript could not be made");
  }
  napi_unref_threadsafe_function(env, channel_);
  napi_add_env_cleanup_hook(env, on_environment_exit, this);
}

Worker::~Worker() {
  stop();
}

Napi::Promise Worker::submit(std::unique_ptr<Task> task) {
  task->deferred_ = Napi::Promise::Deferred::New(env_);
  const Napi::Promise promise = task->deferred_->Promise();
  submit_unawaited(std::move(task));
  return promise;
}

void Worker::submit_unawaited(std::unique_ptr<Task> task) {
  task->worker_ = this;
  if (pending_++ == 0) napi_ref_threadsafe_function(env_, channel_);
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void Worker::delivered() {
  if (--pending_ == 0 && !stopped_) napi_unref_threadsafe_function(env_, channel_);
}

// Ends the thread after the task that runs now. Tasks that wait are dropped: at an orderly end close() is the last one, and at the
// environment's end nobody is left to hear of them.
void Worker::stop() {
  if (stopped_) return;
  stopped_ = true;
  interrupt_();
  end_thread();
  tasks_.clear();
  napi_remove_env_cleanup_hook(env_, on_environment_exit, this);
  napi_release_threadsafe_function(channel_, napi_tsfn_release);
}

void Worker::end_thread() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Worker::on_environment_exit(void* self) {
  static_cast<Worker*>(self)->stop();
}

void Worker::post(std::unique_ptr<Message> message) {
  // Only a closing channel refuses, and stop() joins this thread before it closes it.
  if (napi_call_threadsafe_function(channel_, message.get(), napi_tsfn_nonblocking) == napi_ok) message.release();
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
  // Its references may be given back even where `env` is null: the thread-safe function holds the environment until its queue is empty.
  const std::unique_ptr<Message> message(static_cast<Message*>(data));
  if (env == nullptr) return;
  try {
    Napi::HandleScope scope(env);
    message->deliver(env);
  } catch (...) {
    // The environment refuses JavaScript because it is ending (worker.terminate()): nobody is left to hear.
  }
}

}  // namespace kvasir
