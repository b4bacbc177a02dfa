#include "testing/device_queue.h"

#include <utility>

#include "tensor/float_environment.h"

namespace kvasir::testing {

DeviceQueue::DeviceQueue() : thread_(start_thread([this] { loop(); })) {}

DeviceQueue::~DeviceQueue() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void DeviceQueue::push(std::function<void()> work) {
  push_always([this, work = std::move(work)] {
    if (failure_) return;
    try {
      work();
    } catch (...) {
      failure_ = std::current_exception();
    }
  });
}

void DeviceQueue::push_always(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
  }
  wake_.notify_one();
}

Event DeviceQueue::record() {
  std::lock_guard lock(mutex_);
  const Event event = ++recorded_;
  work_.push_back([this, event] {
    {
      std::lock_guard guard(mutex_);
      if (failure_) failures_[event] = std::exchange(failure_, nullptr);
      completed_ = event;
    }
    reached_.notify_all();
  });
  wake_.notify_one();
  return event;
}

void DeviceQueue::wait(Event event) {
  std::unique_lock lock(mutex_);
  reached_.wait(lock, [&] { return completed_ >= event; });
  const auto failed = failures_.extract(event);
  lock.unlock();
  if (!failed.empty()) std::rethrow_exception(failed.mapped());
}

bool DeviceQueue::done(Event event) const {
  std::lock_guard lock(mutex_);
  return completed_ >= event && !failures_.contains(event);
}

void DeviceQueue::drain() {
  std::unique_lock lock(mutex_);
  reached_.wait(lock, [this] { return work_.empty(); });
}

void DeviceQueue::abandon() {
  push_always([this] { failure_ = nullptr; });
  drain();
}

void DeviceQueue::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !work_.empty(); });
    if (work_.empty()) return;
    const std::function<void()>& work = work_.front();  // it stays where it is while more is pushed
    lock.unlock();
    work();
    lock.lock();
    work_.pop_front();
    reached_.notify_all();
  }
}

}  // namespace kvasir::testing
