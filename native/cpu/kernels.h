#pragma once
// What is compiled once for each instruction set. Everything else of the CPU back end is compiled once.
#include "cpu/sample_passes.h"
#include "cpu/threads.h"
#include "ops/op.h"

namespace kvasir::cpu {

struct Scratch;

// What a kernel works with.
struct Context {
  Threads& threads;
  Scratch& scratch;
};

struct Kernels {
  const char* isa;
  void (*run)(const Op&, Context);
  const SamplePasses& sample;
};

namespace portable {
extern const Kernels kernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}
namespace avx512_bf16 {
extern const Kernels kernels;
}
namespace amx {
extern const Kernels kernels;
}
#endif

// The instruction sets that this processor and its operating system run, slowest first. [0] is portable.
std::span<const Kernels* const> available_kernels();

}  // namespace kvasir::cpu
