#pragma once
// What a device runs, in order and later: a queue with a thread of its own.
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "ops/backend.h"

namespace kvasir::testing {

class DeviceQueue {
 public:
  DeviceQueue();
  ~DeviceQueue();  // after all that was pushed has run

  void push(std::function<void()> work);
  void push_always(std::function<void()> work);  // runs after a failure, too; does not throw
  // The place behind all that was pushed so far. After work that throws, nothing of push() runs up to the next such place, which has the
  // exception.
  Event record();
  void wait(Event event);  // throws that exception, once
  bool done(Event event) const;
  void drain();    // blocks until nothing that was pushed is left to run; failures stay with their events
  void abandon();  // drains, and forgets what failed since the last event

 private:
  void loop();

  mutable std::mutex mutex_;
  std::condition_variable wake_, reached_;
  std::deque<std::function<void()>> work_;
  bool stopping_ = false;
  Event recorded_ = 0;
  Event completed_ = 0;
  std::exception_ptr failure_;                    // of what ran since the last event; on the queue's thread only
  std::map<Event, std::exception_ptr> failures_;  // of events
  std::thread thread_;
};

}  // namespace kvasir::testing
