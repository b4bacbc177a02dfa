#pragma once
// The engine's own threads, and the way back to JavaScript. Tasks are started and settled in the order in which they were submitted.
//
// A task has two halves: start() on the launching thread, and finish() on the waiting thread, so that the next task is launched while the
// results of this one are waited for. A task that is through when start() returns is settled at once, unless one before it is waited for;
// where nothing runs on a device, close() alone has a second half.
//
//     launching   start 1 | start 2 |         start 3 |
//     waiting             | finish 1         | finish 2
//
// Life: stop() interrupts the task that runs, joins the threads and only then lets the thread-safe function go, so nothing can be posted to
// an environment that is gone. It runs at the latest when the environment ends (worker.terminate()), or the process by process.exit() or an
// error. The event loop is kept alive only while a task is under way.
#include <napi.h>

#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "addon/errors.h"

namespace kvasir {

// What the worker's threads post to the JavaScript thread.
class Message {
 public:
  virtual ~Message() = default;
  virtual void deliver(Napi::Env env) = 0;
};

class Worker;

// Work for the engine's threads that may settle a promise. `owner` is kept alive until it is delivered.
class Task : public Message {
 public:
  explicit Task(Napi::Object owner) : owner_(Napi::Persistent(owner)) {}
  void deliver(Napi::Env env) override;

 protected:
  // On the launching thread; whether finish() is to be called. May throw: then it is not.
  virtual bool start() = 0;
  // On the waiting thread, after all tasks before; may throw.
  virtual void finish() {}
  // On the JavaScript thread, later; leaves the engine alone; may throw. Takes no JavaScript memory that grows with the model or the step:
  // N-API ends the process where an array cannot be had.
  virtual Napi::Value result(Napi::Env env) { return env.Undefined(); }

 private:
  friend class Worker;
  template <class Half>
  bool guard(const Half& half) noexcept;
  void finish_if_waiting() noexcept;
  void settle(Napi::Env env);

  Worker* worker_ = nullptr;
  std::optional<Napi::Promise::Deferred> deferred_;  // none: nobody waits for it
  Napi::ObjectReference owner_;
  std::optional<Failure> failure_;
  bool waits_ = false;  // for finish()
};

// Those of an environment that are not stopped yet; its instance data. Where a process ends by process.exit(), Node runs no cleanup hooks
// but ends the libraries below threads that still use them (CUDA's runtime then faults): so they are stopped at its event "exit".
class Workers {
 public:
  // Once for an environment.
  static void attach(Napi::Env env);
  static Workers& of(Napi::Env env) { return *env.GetInstanceData<Workers>(); }

  void add(Worker* worker) { workers_.insert(worker); }
  void remove(Worker* worker) { workers_.erase(worker); }

 private:
  void stop_all();

  std::set<Worker*> workers_;
};

class Worker {
 public:
  // `interrupt` makes the task that runs end soon; it is called on the JavaScript thread.
  Worker(Napi::Env env, std::function<void()> interrupt);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // On the JavaScript thread; throws CLOSED after stop(). A task without a promise takes its failure with it.
  Napi::Promise submit(std::unique_ptr<Task> task);
  void submit_unawaited(std::unique_ptr<Task> task);
  void stop();

  // On the launching thread, from inside a task.
  void post(std::unique_ptr<Message> message);

 private:
  friend class Task;
  using Queue = std::list<std::unique_ptr<Task>>;  // a task keeps its node, so that passing it on needs no memory

  void launch_loop();
  void wait_loop();
  Queue next_to_start();  // one task, or none: no more
  void pass_on(Queue task);
  bool has_waiter();
  void end_threads();
  void delivered();  // a task is done
  static void call_js(napi_env env, napi_value, void*, void* data);
  static void on_environment_exit(void* self);

  napi_env env_;
  std::function<void()> interrupt_;
  napi_threadsafe_function channel_ = nullptr;
  int pending_ = 0;  // tasks submitted and not delivered; JavaScript thread only
  bool stopped_ = false;
  std::mutex mutex_;
  std::condition_variable wake_launcher_, wake_waiter_;
  Queue submitted_;
  Queue started_;              // in front: the one that is waited for
  bool stopping_ = false;      // nothing more is started
  bool launched_all_ = false;  // nothing more comes to started_
  std::thread waiter_;         // made when it is first needed
  std::thread launcher_;
};

}  // namespace kvasir
