// This instruction set's kernels: one `run` for each op, in the op's file, and the sampler's passes.
#include "cpu/kernels.h"

#if defined(KVASIR_ISA_amx)
namespace kvasir::cpu {

namespace avx512_bf16 {
extern const SamplePasses sample_passes;
}

namespace amx {

void run(const Matmul&, Context);

// What has no tiles is avx512_bf16's.
const Kernels kernels = {
    "amx",
    [](const Op& op, Context context) {
      const auto* matmul = std::get_if<Matmul>(&op);
      return matmul ? run(*matmul, context) : avx512_bf16::kernels.run(op, context);
    },
    avx512_bf16::sample_passes,
};

}  // namespace amx
}  // namespace kvasir::cpu
#else
#if defined(KVASIR_ISA_avx512_bf16)
namespace kvasir::cpu::avx512 {
void run(const Attention&, Context);
}
#endif

namespace kvasir::cpu::KVASIR_ISA {

#if defined(KVASIR_ISA_avx512_bf16)
// Attention multiplies no pairs of bfloat16 numbers: compiled twice, it would be the same.
using avx512::run;
#else
void run(const Attention&, Context);
#endif
void run(const AddNorm&, Context);
void run(const Embed&, Context);
void run(const GatherRows&, Context);
void run(const Matmul&, Context);
void run(const QkRopeAppend&, Context);
void run(const ScaleLogits&, Context);
extern const SamplePasses sample_passes;

#define KVASIR_QUOTE(text) #text
#define KVASIR_NAME(text) KVASIR_QUOTE(text)
const Kernels kernels = {
    KVASIR_NAME(KVASIR_ISA),
    [](const Op& op, Context context) { std::visit([&](const auto& each) { run(each, context); }, op); },
    sample_passes,
};

}  // namespace kvasir::cpu::KVASIR_ISA
#endif
