#pragma once
// The team of cuda/kernels/sample_select.h as threads of the host, so that the stages of a GPU are tested where there is none.
#include <atomic>
#include <barrier>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "cuda/kernels/sample_rows.h"
#include "tensor/float_environment.h"

namespace kvasir::testing {

// A value of a thread or block that the others read.
struct alignas(16) Slip {
  char bytes[32];

  template <class T>
  void put(const T& value) {
    static_assert(sizeof(T) <= sizeof bytes);
    std::memcpy(bytes, &value, sizeof value);
  }
  template <class T>
  T get() const {
    T value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
  }
};

struct HostBlock {
  explicit HostBlock(int threads) : barrier(threads), slips(threads) {}

  std::barrier<> barrier;
  std::vector<Slip> slips;
  uint64_t bins[cuda::kBins];
  cuda::Crossing found;
  cuda::Listed list;
};

struct HostCrew {
  HostCrew(int block_count, int thread_count, int vocab)
      : threads(thread_count), barrier(block_count * thread_count), slips(block_count), bins(block_count), values(vocab), weights(vocab) {
    for (int b = 0; b < block_count; ++b) blocks.push_back(std::make_unique<HostBlock>(thread_count));
  }

  const int threads;
  std::barrier<> barrier;
  std::vector<std::unique_ptr<HostBlock>> blocks;
  std::vector<Slip> slips;                              // of blocks
  std::vector<std::array<uint64_t, cuda::kBins>> bins;  // of blocks
  std::vector<float> values;                            // [V]
  std::vector<uint64_t> weights;                        // [V]
  cuda::Listed sent;
};

class HostTeam {
 public:
  HostTeam(HostCrew& crew, int block, int thread) : crew_(crew), own_(*crew.blocks[block]), block_(block), thread_(thread) {}

  int threads() const { return crew_.threads; }
  int thread() const { return thread_; }
  int blocks() const { return alone_ ? 1 : static_cast<int>(crew_.blocks.size()); }
  int block() const { return alone_ ? 0 : block_; }
  bool leads() const { return block_ == 0 && thread_ == 0; }
  void go_alone() { alone_ = true; }
  void together() { alone_ = false; }

  float* values() const { return crew_.values.data(); }
  uint64_t* weights() const { return crew_.weights.data(); }
  uint64_t* bins() { return own_.bins; }
  cuda::Crossing& found() { return own_.found; }
  cuda::Listed& sent() { return crew_.sent; }
  cuda::Listed& list() { return own_.list; }
  template <class T>
  static T fresh(const T& x) {
    return x;
  }

  void sync() { own_.barrier.arrive_and_wait(); }
  void barrier() { blocks() > 1 ? crew_.barrier.arrive_and_wait() : sync(); }

  template <class T, class Merge>
  T reduce(const T& own, const Merge& merge) {
    const auto all = [&](const std::vector<Slip>& slips) {
      T merged = Merge::none();
      for (const Slip& slip : slips) merged = merge(merged, slip.get<T>());
      return merged;
    };
    sync();
    own_.slips[thread_].put(own);
    sync();
    const T of_block = all(own_.slips);
    if (blocks() == 1) return of_block;
    exchange(of_block);
    const T of_team = all(crew_.slips);
    barrier();
    return of_team;
  }

  cuda::Prefix scan_block(uint64_t own) {
    sync();
    own_.slips[thread_].put(own);
    sync();
    return before_in(own_.slips, thread_);
  }
  cuda::Prefix scan(uint64_t own) {
    const cuda::Prefix within = scan_block(own);
    if (blocks() == 1) return within;
    exchange(within.total);
    const cuda::Prefix of_blocks = before_in(crew_.slips, block_);
    barrier();
    return {of_blocks.before + within.before, of_blocks.total};
  }

  static void add(uint64_t& bin, uint64_t x) { std::atomic_ref(bin).fetch_add(x, std::memory_order_relaxed); }
  void merge_bins(uint64_t* bins) {
    if (blocks() == 1) return;
    if (thread_ == 0) std::copy_n(bins, cuda::kBins, crew_.bins[block_].begin());
    barrier();
    for (int b = thread_; b < cuda::kBins; b += threads()) {
      bins[b] = 0;
      for (const auto& others : crew_.bins) bins[b] += others[b];
    }
    barrier();
  }

 private:
  template <class T>
  void exchange(const T& of_block) {
    if (thread_ == 0) crew_.slips[block_].put(of_block);
    barrier();
  }
  static cuda::Prefix before_in(const std::vector<Slip>& slips, int at) {
    cuda::Prefix sums{0, 0};
    for (int i = 0; i < static_cast<int>(slips.size()); ++i) {
      const auto own = slips[i].get<uint64_t>();
      sums.before += i < at ? own : 0;
      sums.total += own;
    }
    return sums;
  }

  HostCrew& crew_;
  HostBlock& own_;
  const int block_;
  const int thread_;
  bool alone_ = false;
};

// Runs `work` on every thread of a team.
inline void run_team(HostCrew& crew, const std::function<void(HostTeam&)>& work) {
  std::vector<std::thread> threads;
  for (int i = 1; i < static_cast<int>(crew.blocks.size()) * crew.threads; ++i) {
    threads.push_back(start_thread([&, i] {
      HostTeam team(crew, i / crew.threads, i % crew.threads);
      work(team);
    }));
  }
  HostTeam team(crew, 0, 0);
  work(team);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace kvasir::testing
