#pragma once
// The pool of threads that the kernels share. Made once; idle workers spin briefly, then sleep.
//
// Each thread, the caller too, claims the items of its share of a job one by one, then those that others have not begun: neighbours in
// memory are met one after the other, and a thread that is held up is helped. A worker joins a job only while it is open, and the caller
// closes it once all items are claimed: it waits for workers in the middle of an item, never for one that has not begun, so a worker that
// the operating system keeps waiting costs nothing.
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace kvasir::cpu {

class Threads {
 public:
  // `count` includes the thread that calls parallel().
  explicit Threads(int count);
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  int count() const { return count_; }

  // Runs task(item, worker) for each item of [0, items), in any order; worker is in [0, count()). The task must not throw, nor call
  // parallel(). One caller at a time.
  template <class Task>
  void parallel(int64_t items, const Task& task) {
    run({[](const void* context, int64_t item, int worker) { (*static_cast<const Task*>(context))(item, worker); }, &task, items});
  }

 private:
  struct Job {
    void (*function)(const void* context, int64_t item, int worker);
    const void* context;
    int64_t items;
  };

  // Items [next, end) are not claimed yet.
  struct alignas(64) Share {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };

  void run(const Job& job);
  void claim_items(int worker);
  void work(int worker);
  bool join(uint32_t& seen);
  bool wait_for_job(uint32_t& seen);
  void stop();

  const int count_;
  std::vector<Share> shares_;                  // of each thread, for the job
  Job job_{};                                  // written while the gate is closed and nobody is inside
  uint32_t generation_ = 0;                    // of the latest job
  alignas(64) std::atomic<uint64_t> gate_{0};  // generation << 32 | open << 31 | workers that joined
  alignas(64) std::atomic<uint32_t> left_{0};  // workers that joined and are done
  alignas(64) std::atomic<int> sleepers_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;  // last: they use all of the above
};

}  // namespace kvasir::cpu
