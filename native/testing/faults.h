#pragma once
// Failures on purpose.
#include <mutex>
#include <string>
#include <utility>

namespace kvasir::testing {

// The n-th op from now on, of any device-like back end of the process, fails with a code: how a device that lacks memory, or is defective,
// looks to the engine.
class Faults {
 public:
  void plan(int ops, std::string code) {
    std::lock_guard lock(mutex_);
    code_ = std::move(code);
    left_ = ops;
  }
  // Called before each op.
  void count();

 private:
  std::mutex mutex_;
  std::string code_;
  int left_ = 0;
};

Faults& faults();

}  // namespace kvasir::testing
