// This instruction set's row of kernels.
#include "cpu/kernels.h"

namespace kvasir::cpu::KVASIR_ISA {

void embed(const Embed&, Threads&);
void rmsnorm(const RmsNorm&, Threads&);
void matmul(const Matmul&, Threads&, Scratch&);
void rope(const Rope&, Threads&);
void append_kv(const AppendKv&, Threads&);
void attention(const Attention&, Threads&, Scratch&);
void glu(const Glu&, Threads&);
void add(const Add&, Threads&);

#define KVASIR_QUOTE(text) #text
#define KVASIR_NAME(text) KVASIR_QUOTE(text)
const Kernels kernels = {KVASIR_NAME(KVASIR_ISA), embed, rmsnorm, matmul, rope, append_kv, attention, glu, add};

}  // namespace kvasir::cpu::KVASIR_ISA
