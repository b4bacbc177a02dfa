#pragma once
// The team of sample_select.h on the device: blocks of a cooperative launch, so that all of them run at once and may wait for each other.
//
// Blocks tell each other what they have by words of 32 bits of data and 32 bits of the exchange's number, so that a word that has come is
// known by itself: one write and one read through L2, no counter. Two sets of words take turns: whoever writes exchange n + 2 has seen
// all of n + 1, which its sender wrote after it had read n.
#include <cuda_runtime.h>

#include <type_traits>

#include "cuda/kernels/sample_select.h"

namespace kvasir::cuda {

constexpr int kTeamThreads = 256, kTeamWarps = kTeamThreads / 32;
constexpr int kMostBlocks = 64;  // of a team
constexpr int kMostWords = 8;    // of an exchange
constexpr int kMergeBytes = kMostWords * 4;

// Of a team, in device memory.
struct TeamMemory {
  uint64_t boxes[2][kMostBlocks][kMostWords];
  uint64_t bins[2][kMostBlocks][kBins];
  uint32_t exchanges[kMostBlocks];  // so far, as each block has counted them
  Listed sent;
};

// Of a block.
struct TeamShared {
  alignas(16) char warps[kTeamWarps][kMergeBytes];
  alignas(16) char inbox[kMostBlocks][kMergeBytes];
  uint64_t bins[kBins];
  Crossing found;
  Listed list;
};

template <class T>
__device__ inline T shuffle_xor(const T& x, int apart) {
  uint32_t words[sizeof(T) / 4];
  memcpy(words, &x, sizeof x);
  for (uint32_t& word : words) word = __shfl_xor_sync(0xffffffffu, word, apart);
  T other;
  memcpy(&other, words, sizeof other);
  return other;
}

// Over a warp, pairwise: 16 apart, 8, 4, 2, 1; the same in every lane.
template <class T, class Merge>
__device__ inline T merge_lanes(T x, const Merge& merge) {
  for (int apart = 16; apart > 0; apart /= 2) x = merge(x, shuffle_xor(x, apart));
  return x;
}

struct AddPrefixes {
  __device__ Prefix operator()(const Prefix& a, const Prefix& b) const { return {a.before + b.before, a.total + b.total}; }
};

class DeviceTeam {
 public:
  // `values` and `weights` [V] are the team's.
  __device__ DeviceTeam(TeamShared& shared, TeamMemory& memory, float* values, uint64_t* weights, int blocks, int block)
      : shared_(shared), memory_(memory), values_(values), weights_(weights), blocks_(blocks), block_(block) {
    exchanges_ = memory_.exchanges[block];
  }
  // After the last call.
  __device__ void close() {
    __syncthreads();
    if (threadIdx.x == 0) memory_.exchanges[block_] = exchanges_;
  }

  __device__ int threads() const { return kTeamThreads; }
  __device__ int thread() const { return threadIdx.x; }
  __device__ int blocks() const { return alone_ ? 1 : blocks_; }
  __device__ int block() const { return alone_ ? 0 : block_; }
  __device__ bool leads() const { return block_ == 0 && threadIdx.x == 0; }
  __device__ void go_alone() { alone_ = true; }
  __device__ void together() { alone_ = false; }

  __device__ float* values() const { return values_; }
  __device__ uint64_t* weights() const { return weights_; }
  __device__ uint64_t* bins() { return shared_.bins; }
  __device__ Crossing& found() { return shared_.found; }
  __device__ Listed& sent() { return memory_.sent; }
  __device__ Listed& list() { return shared_.list; }
  // Not from L1, which does not see what other blocks write.
  template <class T>
  __device__ static T fresh(const T& x) {
    if constexpr (sizeof(T) == 8) {
      return static_cast<T>(__ldcg(reinterpret_cast<const unsigned long long*>(&x)));
    } else {
      return __ldcg(&x);
    }
  }

  __device__ void sync() { __syncthreads(); }
  __device__ void barrier() {
    if (blocks() > 1) {
      exchange(uint64_t(0));
    } else {
      __syncthreads();
    }
  }

  template <class T, class Merge>
  __device__ T reduce(T own, const Merge& merge) {
    own = merge_lanes(own, merge);
    __syncthreads();  // the last call's readers are done
    if (lane() == 0) of_warps<T>()[warp()] = own;
    __syncthreads();
    own = merge_lanes(lane() < kTeamWarps ? of_warps<T>()[lane()] : Merge::none(), merge);
    if (blocks() == 1) return own;
    exchange(own);
    T all = Merge::none();
    for (int b = lane(); b < blocks_; b += 32) all = merge(all, of_blocks<T>()[b]);
    return merge_lanes(all, merge);
  }

  __device__ Prefix scan_block(uint64_t own) {
    uint64_t sum = own;
    for (int apart = 1; apart < 32; apart *= 2) {
      const uint64_t other = __shfl_up_sync(0xffffffffu, sum, apart);
      if (lane() >= apart) sum += other;
    }
    __syncthreads();
    if (lane() == 31) of_warps<uint64_t>()[warp()] = sum;
    __syncthreads();
    const Prefix warps = before_in(of_warps<uint64_t>(), kTeamWarps, warp());
    return {warps.before + sum - own, warps.total};
  }

  __device__ Prefix scan(uint64_t own) {
    const Prefix within = scan_block(own);
    if (blocks() == 1) return within;
    exchange(within.total);
    const Prefix blocks = before_in(of_blocks<uint64_t>(), blocks_, block_);
    return {blocks.before + within.before, blocks.total};
  }

  // In halves: shared memory adds 32 bits at a time.
  __device__ static void add(uint64_t& bin, uint64_t x) {
    uint32_t* halves = reinterpret_cast<uint32_t*>(&bin);
    const uint32_t low = static_cast<uint32_t>(x), before = low != 0 ? atomicAdd(halves, low) : 0;
    const uint32_t high = static_cast<uint32_t>(x >> 32) + (before + low < low ? 1 : 0);
    if (high != 0) atomicAdd(halves + 1, high);
  }

  __device__ void merge_bins(uint64_t* bins) {
    if (blocks() == 1) return;
    uint64_t(*const all)[kBins] = memory_.bins[merges_++ & 1];  // two sets take turns as in exchange()
    for (int b = threadIdx.x; b < kBins; b += kTeamThreads) all[block_][b] = bins[b];
    exchange(uint64_t(0));
    for (int b = threadIdx.x; b < kBins; b += kTeamThreads) {
      uint64_t sum = 0;
#pragma unroll 8
      for (int block = 0; block < blocks_; ++block) sum += fresh(all[block][b]);
      bins[b] = sum;
    }
    __syncthreads();
  }

 private:
  __device__ static int lane() {
    return threadIdx.x % 32;
  }
  __device__ static int warp() {
    return threadIdx.x / 32;
  }
  template <class T>
  __device__ T* of_warps() {
    return reinterpret_cast<T*>(shared_.warps);
  }
  template <class T>
  __device__ T* of_blocks() {
    return reinterpret_cast<T*>(shared_.inbox);
  }

  // Of `count` sums: those before number `at`, and all.
  __device__ static Prefix before_in(const uint64_t* sums, int count, int at) {
    Prefix own{0, 0};
    for (int i = lane(); i < count; i += 32) own = AddPrefixes()(own, {i < at ? sums[i] : 0, sums[i]});
    return merge_lanes(own, AddPrefixes());
  }

  // What each block has, the same in all its threads, to the inbox of all.
  template <class T>
  __device__ void exchange(const T& own) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % 4 == 0 && sizeof(T) <= kMergeBytes);
    constexpr int count = sizeof(T) / 4;
    uint32_t words[count];
    memcpy(words, &own, sizeof own);
    const uint32_t number = ++exchanges_;
    uint64_t(*const boxes)[kMostWords] = memory_.boxes[number & 1];
    __syncthreads();
    if (threadIdx.x < count) {
      __threadfence();  // for all that the block wrote
      uint32_t word = 0;
      for (int w = 0; w < count; ++w) word = threadIdx.x == w ? words[w] : word;
      *static_cast<volatile uint64_t*>(&boxes[block_][threadIdx.x]) = uint64_t(number) << 32 | word;
    }
    for (int i = threadIdx.x; i < blocks_ * count; i += kTeamThreads) {
      const volatile uint64_t* box = &boxes[i / count][i % count];
      uint64_t word = *box;
      while (static_cast<uint32_t>(word >> 32) != number) word = *box;
      reinterpret_cast<uint32_t*>(shared_.inbox)[i] = static_cast<uint32_t>(word);
    }
    __threadfence();
    __syncthreads();
  }

  TeamShared& shared_;
  TeamMemory& memory_;
  float* values_;
  uint64_t* weights_;
  const int blocks_;
  const int block_;
  uint32_t exchanges_;
  uint32_t merges_ = 0;
  bool alone_ = false;
};

}  // namespace kvasir::cuda
