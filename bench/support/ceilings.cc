// The ceilings of this machine, in one line of JSON: what it reads from memory, and its peaks of float32 multiply-adds, bfloat16 pairs and 8-bit products.
//   g++ -O3 -march=native -std=c++20 -pthread ceilings.cc && ./a.out THREADS
#include <immintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

constexpr size_t kBytes = size_t(1) << 30;  // far more than any cache
constexpr int kChains = 12;                 // independent sums: latency times throughput of a multiply-add, and some more
constexpr int kRounds = 20'000'000;

using Floats = float __attribute__((vector_size(64)));
using Words = uint64_t __attribute__((vector_size(64)));

double seconds_of(int threads, auto work) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> pool;
  for (int i = 0; i < threads; ++i) pool.emplace_back([=] { work(i); });
  for (std::thread& thread : pool) thread.join();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// A value that the compiler must have computed.
void use(auto value) { asm volatile("" ::"m"(value) : "memory"); }

double read_gbs(int threads, const uint8_t* memory) {
  return kBytes / 1e9 / seconds_of(threads, [=](int thread) {
           Words sums[4] = {};
           const size_t part = kBytes / threads / 256 * 256;
           for (const uint8_t *p = memory + thread * part, *end = p + part; p < end; p += 256) {
             __builtin_prefetch(p + 4096);
             for (int i = 0; i < 4; ++i) sums[i] += reinterpret_cast<const Words*>(p)[i];
           }
           use(sums);
         });
}

double fma_gops(int threads) {
  return 2.0 * 16 * kChains * kRounds * threads / 1e9 / seconds_of(threads, [](int) {
           Floats sums[kChains] = {}, factor = Floats{} + 0.5f;
           asm volatile("" : "+m"(factor));
           for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
             for (int i = 0; i < kChains; ++i) sums[i] = sums[i] * factor + factor;
           }
           use(sums);
         });
}

double int8_gops([[maybe_unused]] int threads) {
#if defined(__AVX512VNNI__)
  return 2.0 * 64 * kChains * kRounds * threads / 1e9 / seconds_of(threads, [](int) {
           __m512i sums[kChains] = {}, factor = _mm512_set1_epi8(1);
           asm volatile("" : "+m"(factor));
           for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
             for (int i = 0; i < kChains; ++i) sums[i] = _mm512_dpbusd_epi32(sums[i], factor, factor);
           }
           use(sums);
         });
#else
  return 0;  // no such instruction: no ceiling
#endif
}

double bf16_gops([[maybe_unused]] int threads) {
#if defined(__AVX512BF16__)
  return 2.0 * 32 * kChains * kRounds * threads / 1e9 / seconds_of(threads, [](int) {
           __m512 sums[kChains] = {};
           __m512i ones = _mm512_set1_epi16(0x3f80);
           asm volatile("" : "+m"(ones));
           const __m512bh factor = reinterpret_cast<__m512bh>(ones);
           for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
             for (int i = 0; i < kChains; ++i) sums[i] = _mm512_dpbf16_ps(sums[i], factor, factor);
           }
           use(sums);
         });
#else
  return 0;  // no such instruction: no ceiling
#endif
}

double median_of_three(auto measure) {
  double values[3] = {measure(), measure(), measure()};
  std::sort(values, values + 3);
  return values[1];
}

}  // namespace

int main(int count, char** arguments) {
  const int threads = count > 1 ? std::atoi(arguments[1]) : 1;
  auto* memory = static_cast<uint8_t*>(std::aligned_alloc(2 << 20, kBytes));
  madvise(memory, kBytes, MADV_HUGEPAGE);
  std::fill(memory, memory + kBytes, uint8_t(1));
  const double read = median_of_three([&] { return read_gbs(threads, memory); });
  const double fma = median_of_three([&] { return fma_gops(threads); });
  const double bf16 = median_of_three([&] { return bf16_gops(threads); });
  const double int8 = median_of_three([&] { return int8_gops(threads); });
  std::printf("{\"readGBs\":%.1f,\"fmaGops\":%.0f,\"bf16Gops\":%.0f,\"int8Gops\":%.0f}\n", read, fma, bf16, int8);
  std::free(memory);
}
