#include "cpu/threads.h"

#include <chrono>

#include "tensor/float_environment.h"

namespace kvasir::cpu {
namespace {

constexpr uint64_t kOpen = uint64_t(1) << 31;
constexpr uint32_t kJoinedMask = kOpen - 1;

// Longer than the gaps between the ops of a step, shorter than what a sleeping core's neighbours would miss. Decode of tales at batch 1 on
// two EPYC cores (bench:compare -- HEAD): 0 us has 0.75 of the speed, 500 us 1.03, for ten times the idle burning.
constexpr auto kSpin = std::chrono::microseconds(50);

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until ready() or for kSpin; whether it was ready.
template <class Ready>
bool spin(const Ready& ready) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

}  // namespace

Threads::Threads(int count) : count_(count), shares_(count) {
  workers_.reserve(count - 1);
  try {
    for (int worker = 1; worker < count; ++worker) workers_.push_back(start_thread([this, worker] { work(worker); }));
  } catch (...) {
    stop();
    throw;
  }
}

Threads::~Threads() {
  stop();
}

void Threads::stop() {
  stopping_ = true;
  { std::lock_guard lock(mutex_); }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Threads::run(const Job& job) {
  if (count_ == 1 || job.items == 1) {
    for (int64_t item = 0; item < job.items; ++item) job.function(job.context, item, 0);
    return;
  }
  job_ = job;
  for (int i = 0; i < count_; ++i) {
    shares_[i].next.store(job.items * i / count_, std::memory_order_relaxed);
    shares_[i].end = job.items * (i + 1) / count_;
  }
  left_.store(0, std::memory_order_relaxed);
  gate_.store(uint64_t(++generation_) << 32 | kOpen);
  if (sleepers_.load() > 0) {  // sequentially consistent, as are the sleeper's two steps: one of us sees the other
    { std::lock_guard lock(mutex_); }
    wake_.notify_all();
  }
  claim_items(0);
  const uint32_t joined = gate_.fetch_and(~kOpen) & kJoinedMask;
  const auto all_left = [&] { return left_.load(std::memory_order_acquire) == joined; };
  while (!spin(all_left)) std::this_thread::yield();
}

void Threads::claim_items(int worker) {
  const Job job = job_;
  for (int i = 0; i < count_; ++i) {
    Share& share = shares_[(worker + i) % count_];
    for (int64_t item; (item = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end;) job.function(job.context, item, worker);
  }
}

// Enters the open job unless it is the one seen last.
bool Threads::join(uint32_t& seen) {
  uint64_t gate = gate_.load();
  while ((gate & kOpen) != 0 && static_cast<uint32_t>(gate >> 32) != seen) {
    if (gate_.compare_exchange_weak(gate, gate + 1)) {
      seen = static_cast<uint32_t>(gate >> 32);
      return true;
    }
  }
  return false;
}

// Returns inside a job, or false when the pool stops.
bool Threads::wait_for_job(uint32_t& seen) {
  bool joined = false;
  const auto ready = [&] { return stopping_.load() || (joined = join(seen)); };
  if (!spin(ready)) {
    std::unique_lock lock(mutex_);
    ++sleepers_;
    wake_.wait(lock, ready);
    --sleepers_;
  }
  return joined;
}

void Threads::work(int worker) {
  uint32_t seen = 0;
  while (wait_for_job(seen)) {
    claim_items(worker);
    left_.fetch_add(1, std::memory_order_release);
  }
}

}  // namespace kvasir::cpu
