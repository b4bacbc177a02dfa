#include "addon/worker.h"

namespace kvasir {

// What `half` returns; false and a note of the failure where it throws.
template <class Half>
bool Task::guard(const Half& half) noexcept {
  try {
    return half();
  } catch (...) {
    failure_ = current_failure();
    return false;
  }
}

void Task::finish_if_waiting() noexcept {
  if (!waits_) return;
  guard([&] {
    finish();
    return true;
  });
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

void Workers::attach(Napi::Env env) {
  env.SetInstanceData(new Workers);
  const auto stop_all = [](const Napi::CallbackInfo& info) { of(info.Env()).stop_all(); };
  const auto process = env.Global().Get("process").As<Napi::Object>();
  process.Get("on").As<Napi::Function>().Call(process, {Napi::String::New(env, "exit"), Napi::Function::New(env, stop_all)});
}

void Workers::stop_all() {
  while (!workers_.empty()) (*workers_.begin())->stop();
}

Worker::Worker(Napi::Env env, std::function<void()> interrupt) : env_(env), interrupt_(std::move(interrupt)) {
  napi_value name = Napi::String::New(env, "kvasir");
  launcher_ = start_thread([this] { launch_loop(); });
  if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, call_js, &channel_) != napi_ok) {
    end_threads();
    fail("INTERNAL", "the channel back to JavaScript could not be made");
  }
  napi_unref_threadsafe_function(env, channel_);
  napi_add_env_cleanup_hook(env, on_environment_exit, this);
  Workers::of(env).add(this);
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
  if (stopped_) fail("CLOSED", "the engine's process or thread ends");
  task->worker_ = this;
  if (pending_++ == 0) napi_ref_threadsafe_function(env_, channel_);
  {
    std::lock_guard lock(mutex_);
    submitted_.push_back(std::move(task));
  }
  wake_launcher_.notify_one();
}

void Worker::delivered() {
  if (--pending_ == 0 && !stopped_) napi_unref_threadsafe_function(env_, channel_);
}

// Ends the threads after the tasks that were started. Those that wait are dropped: at an orderly end close() is the last one, and at the
// environment's end nobody is left to hear of them.
void Worker::stop() {
  if (stopped_) return;
  stopped_ = true;
  interrupt_();
  end_threads();
  submitted_.clear();
  Workers::of(env_).remove(this);
  napi_remove_env_cleanup_hook(env_, on_environment_exit, this);
  napi_release_threadsafe_function(channel_, napi_tsfn_release);
}

void Worker::end_threads() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_launcher_.notify_one();
  launcher_.join();
  {
    std::lock_guard lock(mutex_);
    launched_all_ = true;
  }
  wake_waiter_.notify_one();
  if (waiter_.joinable()) waiter_.join();
}

void Worker::on_environment_exit(void* self) {
  static_cast<Worker*>(self)->stop();
}

void Worker::post(std::unique_ptr<Message> message) {
  // Only a closing channel refuses, and stop() joins the threads before it closes it.
  if (napi_call_threadsafe_function(channel_, message.get(), napi_tsfn_nonblocking) == napi_ok) message.release();
}

Worker::Queue Worker::next_to_start() {
  std::unique_lock lock(mutex_);
  wake_launcher_.wait(lock, [this] { return stopping_ || !submitted_.empty(); });
  Queue next;
  if (!stopping_) next.splice(next.begin(), submitted_, submitted_.begin());
  return next;
}

void Worker::launch_loop() {
  for (Queue next = next_to_start(); !next.empty(); next = next_to_start()) {
    Task& task = *next.front();
    task.waits_ = task.guard([&] { return task.start(); });
    pass_on(std::move(next));
  }
}

// To JavaScript, or to the waiting thread if it has to wait, for itself or for those before it.
void Worker::pass_on(Queue task) {
  {
    std::lock_guard lock(mutex_);
    if ((task.front()->waits_ || !started_.empty()) && has_waiter()) started_.splice(started_.end(), task);
  }
  if (task.empty()) return wake_waiter_.notify_one();
  task.front()->finish_if_waiting();
  post(std::move(task.front()));
}

// Makes the waiting thread when it is first needed. Where none can be had nothing is in started_, and the launching thread waits itself.
bool Worker::has_waiter() {
  try {
    if (!waiter_.joinable()) waiter_ = start_thread([this] { wait_loop(); });
    return true;
  } catch (...) {
    return false;
  }
}

void Worker::wait_loop() {
  for (;;) {
    Task* task;
    {
      std::unique_lock lock(mutex_);
      wake_waiter_.wait(lock, [this] { return launched_all_ || !started_.empty(); });
      if (started_.empty()) return;
      task = started_.front().get();
    }
    task->finish_if_waiting();
    std::lock_guard lock(mutex_);  // posted before it leaves the queue: a task that need not wait stays behind it
    post(std::move(started_.front()));
    started_.pop_front();
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
