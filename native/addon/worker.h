#pragma once
// The engine's own thread, and the way back to JavaScript. Tasks run in the order in which they were submitted and settle in that order.
//
// Life: stop() interrupts the task that runs, joins the thread and only then lets the thread-safe function go, so nothing can be posted to
// an environment that is gone. It runs at the latest when the environment ends (process.exit(), worker.terminate()). The event loop is kept
// alive only while a task is under way.
#include <napi.h>

#include <condition_variable>
#include <deque>
#include <functional>
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

// Work for the engine's thread that may settle a promise. `owner` is kept alive until it is delivered.
class Task : public Message {
 public:
  explicit Task(Napi::Object owner) : owner_(Napi::Persistent(owner)) {}
  void deliver(Napi::Env env) override;
  void execute() noexcept;

 protected:
  virtual void run() = 0;                         // on the engine's thread; may throw
  virtual Napi::Value result(Napi::Env env) = 0;  // on the JavaScript thread, later; leaves the engine alone; may throw

 private:
  friend class Worker;
  void settle(Napi::Env env);

  Worker* worker_ = nullptr;
  std::optional<Napi::Promise::Deferred> deferred_;  // none: nobody waits for it
  Napi::ObjectReference owner_;
  std::optional<Failure> failure_;
};

class Worker {
 public:
  // `interrupt` makes the task that runs end soon; it is called on the JavaScript thread.
  Worker(Napi::Env env, std::function<void()> interrupt);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // On the JavaScript thread, before stop(). A task without a promise takes its failure with it.
  Napi::Promise submit(std::unique_ptr<Task> task);
  void submit_unawaited(std::unique_ptr<Task> task);
  void stop();

  // On the engine's thread, from inside a task.
  void post(std::unique_ptr<Message> message);

 private:
  friend class Task;
  void loop();
  void end_thread();
  void delivered();  // a task is done
  static void call_js(napi_env env, napi_value, void*, void* data);
  static void on_environment_exit(void* self);

  napi_env env_;
  std::function<void()> interrupt_;
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
