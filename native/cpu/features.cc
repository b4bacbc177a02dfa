// What this processor is and runs.
#include <array>
#include <cstring>

#include "cpu/cpu_backend.h"
#include "cpu/kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace kvasir::cpu {

#if defined(__x86_64__)
namespace {

struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf = 0) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d);  // leaves zeros where the processor has no such leaf
  return r;
}

bool has(unsigned value, unsigned bits) {
  return (value & bits) == bits;
}

// Which register files the operating system saves: bits 1, 2 for 256-bit registers, 5, 6, 7 for masks and 512-bit ones.
unsigned saved_state() {
  if (!has(cpuid(1).c, bit_OSXSAVE)) return 0;
  unsigned low, high;
  asm("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

// x86-64-v3, for which the kernels are compiled.
bool runs_avx2() {
  return has(saved_state(), 0x6) && has(cpuid(1).c, bit_FMA | bit_MOVBE | bit_F16C | bit_AVX) &&
         has(cpuid(7).b, bit_AVX2 | bit_BMI | bit_BMI2) && has(cpuid(0x80000001).c, bit_LZCNT);
}

// x86-64-v4 and VNNI.
bool runs_avx512() {
  return runs_avx2() && has(saved_state(), 0xe6) &&
         has(cpuid(7).b, bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL) && has(cpuid(7).c, bit_AVX512VNNI);
}

bool runs_avx512_bf16() {
  return runs_avx512() && has(cpuid(7, 1).a, 1 << 5);
}

// With tiles of int8 and of bfloat16, which the operating system saves (bits 17 and 18) for processes that ask, in 8 KiB of each thread.
bool runs_amx() {
#if defined(__linux__)
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24, kInt8 = 1u << 25;
  constexpr long kRequestState = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM of <asm/prctl.h>, XFEATURE_XTILEDATA
  return runs_avx512_bf16() && has(saved_state(), 0x60000) && has(cpuid(7).d, kBf16 | kTile | kInt8) &&
         syscall(SYS_arch_prctl, kRequestState, kTileData) == 0;
#else
  return false;
#endif
}

bool is_intel() {
  return cpuid(0).b == signature_INTEL_ebx;
}

}  // namespace

std::string processor_name() {
  std::array<char, 49> name{};
  for (unsigned i = 0; i < 3; ++i) {
    const Registers r = cpuid(0x80000002 + i);
    std::memcpy(name.data() + 16 * i, &r, 16);
  }
  std::string text(name.data());
  text.erase(0, text.find_first_not_of(' '));
  text.erase(text.find_last_not_of(' ') + 1);
  return text.empty() ? "x86-64" : text;
}
#else
std::string processor_name() {
  return "arm64";
}
#endif

std::span<const Kernels* const> available_kernels() {
#if defined(__x86_64__)
  // A product of pairs takes as long as a float32 multiply-add on AMD's processors, and four times as long on Intel's. By name and not by
  // a measurement, which would change results from one start to the next where it is close.
  static constexpr const Kernels* all[] = {&portable::kernels, &avx2::kernels, &avx512::kernels, &avx512_bf16::kernels};
#if defined(KVASIR_SANITIZE)  // tiles are emulated on every processor (cpu/amx.h), where nothing should choose them by itself
  static constexpr const Kernels* emulated[] = {&portable::kernels, &avx2::kernels, &amx::kernels, &avx512::kernels, &avx512_bf16::kernels};
  if (runs_avx512_bf16()) return emulated;
#endif
  static constexpr const Kernels* on_intel[] = {&portable::kernels, &avx2::kernels, &avx512_bf16::kernels, &avx512::kernels, &amx::kernels};
  if (!runs_avx512_bf16()) return {all, runs_avx512() ? 3u : runs_avx2() ? 2u : 1u};
  if (!is_intel()) return all;
  return {on_intel, runs_amx() ? 5u : 4u};
#else
  static constexpr const Kernels* all[] = {&portable::kernels};
  return all;
#endif
}

}  // namespace kvasir::cpu
