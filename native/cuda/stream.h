#pragma once
// The one stream on which an engine's work runs in order, with events to wait for, and work of the host in its place.
#include <cuda_runtime.h>

#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "ops/backend.h"

namespace kvasir::cuda {

class Stream {
 public:
  // `device` is the thread's current one.
  explicit Stream(int device);
  ~Stream();  // after all that was launched has run
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t get() const { return stream_; }
  // Makes the device the current one of the thread: of those that share the engine, each needs it before it calls CUDA.
  void enter_thread() const noexcept;
  // Runs `work` on a thread of the driver when all before it has run; it must not call CUDA. What it throws, the next event tells.
  void host(std::function<void()> work);
  // Runs `work` on the thread that waits for the next event, when that has come; it must not throw.
  void on_wait(std::function<void()> work);

  Event record();
  void abandon() noexcept;  // waits for all, and drops what waits for the next event, and failures
  void wait(Event event);   // throws what failed before it since the event before
  bool done(Event event) const;

 private:
  cudaEvent_t take_event();

  const int device_;
  cudaStream_t stream_ = nullptr;
  struct Pending {
    cudaEvent_t event = nullptr;
    std::vector<std::function<void()>> work;
  };

  bool may_fail_ = false;                       // work of the host was queued since the last event
  std::vector<std::function<void()>> on_wait_;  // for the next event
  Event recorded_ = 0;                          // the last
  mutable std::mutex mutex_;
  std::map<Event, Pending> pending_;
  std::vector<cudaEvent_t> spare_;
  std::exception_ptr failure_;  // of host work; written on the driver's thread
  std::map<Event, std::exception_ptr> failures_;
};

}  // namespace kvasir::cuda
