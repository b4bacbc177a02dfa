#include "cuda/stream.h"

#include "cuda/runtime.h"

namespace kvasir::cuda {

Stream::Stream(int device) : device_(device) {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
}

Stream::~Stream() {
  cudaStreamSynchronize(stream_);
  for (const auto& [number, pending] : pending_) cudaEventDestroy(pending.event);
  for (cudaEvent_t event : spare_) cudaEventDestroy(event);
  cudaStreamDestroy(stream_);
}

void Stream::enter_thread() const noexcept {
  if (cudaSetDevice(device_) != cudaSuccess) cudaGetLastError();  // what follows fails, too, and tells
}

void Stream::host(std::function<void()> work) {
  struct Call {
    Stream& stream;
    std::function<void()> work;
  };
  auto call = std::make_unique<Call>(Call{*this, std::move(work)});
  const auto run = [](void* data) {
    const std::unique_ptr<Call> owned(static_cast<Call*>(data));
    try {
      owned->work();
    } catch (...) {
      std::lock_guard lock(owned->stream.mutex_);
      if (!owned->stream.failure_) owned->stream.failure_ = std::current_exception();
    }
  };
  check(cudaLaunchHostFunc(stream_, run, call.get()), "queueing work of the host");
  call.release();
  may_fail_ = true;
}

void Stream::on_wait(std::function<void()> work) {
  on_wait_.push_back(std::move(work));
}

cudaEvent_t Stream::take_event() {
  if (spare_.empty()) {
    cudaEvent_t event = nullptr;
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync), "making an event");
    return event;
  }
  const cudaEvent_t event = spare_.back();
  spare_.pop_back();
  return event;
}

Event Stream::record() {
  const Event number = recorded_ + 1;
  if (may_fail_) {
    host([this, number] {
      std::lock_guard lock(mutex_);
      if (failure_) failures_[number] = std::exchange(failure_, nullptr);
    });
    may_fail_ = false;
  }
  std::lock_guard lock(mutex_);
  Pending& pending = pending_[number];
  if (pending.event == nullptr) pending.event = take_event();  // else that of a record() that failed
  check(cudaEventRecord(pending.event, stream_), "recording an event");
  pending.work = std::exchange(on_wait_, {});
  return recorded_ = number;
}

void Stream::abandon() noexcept {
  cudaStreamSynchronize(stream_);
  cudaGetLastError();
  may_fail_ = false;
  on_wait_.clear();
  std::lock_guard lock(mutex_);
  failure_ = nullptr;
  failures_.erase(recorded_ + 1);
}

void Stream::wait(Event number) {
  cudaEvent_t event = nullptr;
  std::vector<std::function<void()>> work;
  {
    std::lock_guard lock(mutex_);
    const auto found = pending_.find(number);
    if (found != pending_.end()) {
      event = found->second.event;
      work = std::move(found->second.work);
    }
  }
  if (event != nullptr) check(cudaEventSynchronize(event), "the device");
  for (const auto& each : work) each();
  std::exception_ptr failed;
  {
    std::lock_guard lock(mutex_);
    if (event != nullptr) spare_.push_back(event);
    pending_.erase(number);
    if (auto node = failures_.extract(number); !node.empty()) failed = node.mapped();
  }
  if (failed) std::rethrow_exception(failed);
}

bool Stream::done(Event number) const {
  std::lock_guard lock(mutex_);
  return !pending_.contains(number) && !failures_.contains(number);
}

}  // namespace kvasir::cuda
