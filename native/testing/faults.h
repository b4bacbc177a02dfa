#pragma once
// Failures on purpose.
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

namespace kvasir::testing {

// The n-th call from now on, of any device-like back end of the process, fails with a code: how a device that lacks memory, or is defective,
// looks to the engine.
class Faults {
 public:
  explicit Faults(const char* what) : what_(what) {}

  void plan(int calls, std::string code) {
    std::lock_guard lock(mutex_);
    code_ = std::move(code);
    left_ = calls;
  }
  // Called before each.
  void count();
  // How often it was called.
  int64_t calls() const {
    std::lock_guard lock(mutex_);
    return calls_;
  }

 private:
  const char* what_;
  mutable std::mutex mutex_;
  std::string code_;
  int left_ = 0;
  int64_t calls_ = 0;
};

Faults& op_faults();
Faults& record_faults();     // of events
Faults& recording_faults();  // of parts of steps that are recorded

}  // namespace kvasir::testing
