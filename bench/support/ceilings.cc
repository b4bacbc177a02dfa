// The ceilings of this machine, in one line of JSON: what it reads from memory, and its peaks of float32 multiply-adds, bfloat16 pairs,
// 8-bit products and AMX's products (0 where there are none).
//   g++ -O3 -march=native -std=c++20 -pthread ceilings.cc && ./a.out THREADS
#include <immintrin.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

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

// Of `multiply`(sum, factor), an instruction of so many operations, in chains that depend on nothing but their own sums.
template <class Sum, class Factor>
double chained_gops(int threads, double operations, Factor factor, auto multiply) {
  return operations * kChains * kRounds * threads / 1e9 / seconds_of(threads, [=](int) {
           Sum sums[kChains] = {};
           Factor same = factor;
           asm volatile("" : "+m"(same));
           for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
             for (int i = 0; i < kChains; ++i) multiply(sums[i], same);
           }
           use(sums);
         });
}

double fma_gops(int threads) {
  return chained_gops<Floats>(threads, 2 * 16, Floats{} + 0.5f, [](Floats& sum, const Floats& factor) { sum = sum * factor + factor; });
}

// 0 where there is no such instruction.
double int8_gops([[maybe_unused]] int threads) {
#if defined(__AVX512VNNI__)
  return chained_gops<__m512i>(threads, 2 * 64, _mm512_set1_epi8(1),
                               [](__m512i& sum, const __m512i& factor) { sum = _mm512_dpbusd_epi32(sum, factor, factor); });
#else
  return 0;
#endif
}

double bf16_gops([[maybe_unused]] int threads) {
#if defined(__AVX512BF16__)
  return chained_gops<__m512>(threads, 2 * 32, _mm512_set1_epi16(0x3f80), [](__m512& sum, const __m512i& ones) {
    const __m512bh factor = reinterpret_cast<__m512bh>(ones);
    sum = _mm512_dpbf16_ps(sum, factor, factor);
  });
#else
  return 0;
#endif
}

// Of AMX, with the loads that a product needs where nothing else is multiplied meanwhile: four tiles of 1 KiB for four products, from 64 KiB.
#if defined(__AMX_INT8__) && defined(__AMX_BF16__)
#define PRODUCTS(name) name " %%tmm6, %%tmm4, %%tmm0\n" name " %%tmm7, %%tmm4, %%tmm1\n" name " %%tmm6, %%tmm5, %%tmm2\n" name " %%tmm7, %%tmm5, %%tmm3\n"
#define LOADS "tileloadd (%0,%1,1), %%tmm4\n tileloadd 1024(%0,%1,1), %%tmm5\n tileloadd 2048(%0,%1,1), %%tmm6\n tileloadd 3072(%0,%1,1), %%tmm7\n"

// `products`(p): loads from p on and their products, each of which has `operations`.
double amx_gops(int threads, double operations, auto products) {
  constexpr long kRequestState = 0x1023, kTileData = 18;
  constexpr int kPieces = 16, kTileRounds = 100'000;
  if (syscall(SYS_arch_prctl, kRequestState, kTileData) != 0) return 0;
  return 4 * operations * kPieces * kTileRounds * threads / 1e9 / seconds_of(threads, [=](int) {
           struct alignas(64) Shapes {
             uint8_t palette[16] = {1};
             uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
             uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
           } shapes;
           std::vector<uint8_t> memory(kPieces * 4096 + 64, 0);
           uint8_t* first = memory.data() + 64 - reinterpret_cast<uintptr_t>(memory.data()) % 64;
           asm volatile("ldtilecfg %0" ::"m"(shapes));
           for (int round = 0; round < kTileRounds; ++round) {
             for (int i = 0; i < kPieces; ++i) products(first + i * 4096);
           }
           asm volatile("tilerelease");
         });
}
double amx_int8_gops(int threads) {
  return amx_gops(threads, 2.0 * 16 * 16 * 64, [](const uint8_t* p) { asm volatile(LOADS PRODUCTS("tdpbssd")::"r"(p), "r"(64l) : "memory"); });
}
double amx_bf16_gops(int threads) {
  return amx_gops(threads, 2.0 * 16 * 16 * 32, [](const uint8_t* p) { asm volatile(LOADS PRODUCTS("tdpbf16ps")::"r"(p), "r"(64l) : "memory"); });
}
#else
double amx_int8_gops(int) { return 0; }
double amx_bf16_gops(int) { return 0; }
#endif

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
  const struct {
    const char* name;
    double value;
  } ceilings[] = {
      {"readGBs", median_of_three([&] { return read_gbs(threads, memory); })},
      {"fmaGops", median_of_three([&] { return fma_gops(threads); })},
      {"bf16Gops", median_of_three([&] { return bf16_gops(threads); })},
      {"int8Gops", median_of_three([&] { return int8_gops(threads); })},
      {"amxInt8Gops", median_of_three([&] { return amx_int8_gops(threads); })},
      {"amxBf16Gops", median_of_three([&] { return amx_bf16_gops(threads); })},
  };
  char separator = '{';
  for (const auto& [name, value] : ceilings) {
    std::printf("%c\"%s\":%.*f", separator, name, value < 1000 ? 1 : 0, value);
    separator = ',';
  }
  std::printf("}\n");
  std::free(memory);
}
