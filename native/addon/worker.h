#pragma once
// The engine's own thread, and the way back to JavaScript. Tasks run in the order in which they were submitted and settle in that order.
//
// Life: the thread-safe function lives until stop(), which joins the thread first, so nothing can be posted to an environment that is gone.
// The event loop is kept alive only while a task is under way.
#include <napi.h>

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "addon/errors.h"

namespace kvasir {

// What the worker's thread posts to the JavaScript thread.
class Message {
 public:
  virtual ~Message() = default;
  virtual void deliver(Napi::Env env) = 0;
};

class Worker;

// Work for the engine's thread that settles a promise. `owner` is kept alive until then.
class Task : public Message {
 public:
  Task(Napi::Env env, Napi::Object owner) : deferred_(Napi::Promise::Deferred::New(env)), owner_(Napi::Persistent(owner)) {}
  Napi::Promise promise() const { return deferred_.Promise(); }
  void deliver(Napi::Env env) override;
  void execute() noexcept;
  void refuse(Failure failure) { failure_ = std::move(failure); }

 protected:
  virtual void run() = 0;                         // on the engine's thread; may throw
  virtual Napi::Value result(Napi::Env env) = 0;  // on the JavaScript thread, after run(); may throw

 private:
  friend class Worker;
  Worker* worker_ = nullptr;
  Napi::Promise::Deferred deferred_;
  Napi::ObjectReference owner_;
  std::optional<Failure> failure_;
};

class Worker {
 public:
  explicit Worker(Napi::Env env);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // On the JavaScript thread.
  Napi::Promise submit(std::unique_ptr<Task> task);
  void stop();

  // On the engine's thread, from inside a task.
  void post(std::unique_ptr<Message> message);

 private:
  friend class Task;
  void loop();
  void settled();  // a task was delivered
  static void call_js(napi_env env, napi_value, void*, void* data);
  static void on_environment_exit(void* self);

  napi_env env_;
  napi_threadsafe_function channel_ = nullptr;
  int pending_ = 0;  // tasks submitted and not delivered; JavaScript thread only
  bool stopped_ = false;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Task>> tasks_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace kvasir
