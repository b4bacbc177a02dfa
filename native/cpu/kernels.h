#pragma once
// The table of what is compiled once for each instruction set. Everything else of the CPU back end is compiled once.
#include "cpu/threads.h"
#include "ops/backend.h"

namespace kvasir::cpu {

class PackedWeight;
struct Scratch;

struct Kernels {
  const char* isa;
  void (*embed)(const Embed&, Threads&);
  void (*rmsnorm)(const RmsNorm&, Threads&);
  void (*matmul)(const Matmul&, Threads&, Scratch&);
  void (*rope)(const Rope&, Threads&);
  void (*append_kv)(const AppendKv&, Threads&);
  void (*attention)(const Attention&, Threads&, Scratch&);
  void (*glu)(const Glu&, Threads&);
  void (*add)(const Add&, Threads&);
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
#endif

// The instruction sets that this processor and its operating system run, slowest first. [0] is portable.
std::span<const Kernels* const> available_kernels();

}  // namespace kvasir::cpu
