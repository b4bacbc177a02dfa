#pragma once
// The floating-point environment in which all bits are computed: to nearest, subnormal numbers as they are, no traps. Other code of the
// process may have set another on the host's threads, and a thread begins with that of its maker. So our own threads are made here, and each
// entry of the addon computes in a FloatEnvironment.
#include <cfenv>
#include <thread>
#include <utility>

namespace kvasir {

// A thread of ours.
template <class Body>
std::thread start_thread(Body body) {
  return std::thread([body = std::move(body)]() mutable {
    std::fesetenv(FE_DFL_ENV);
    body();
  });
}

// Of the calling thread, which is the host's, while this lives; then it has its own again.
class FloatEnvironment {
 public:
  FloatEnvironment() {
    std::fegetenv(&host_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~FloatEnvironment() { std::fesetenv(&host_); }
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

 private:
  std::fenv_t host_;
};

}  // namespace kvasir
