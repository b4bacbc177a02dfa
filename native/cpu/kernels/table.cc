// This instruction set's kernels: one `run` for each op, in the op's file, and the sampler's passes.
#include "cpu/kernels.h"

#define KVASIR_QUOTE(text) #text
#define KVASIR_NAME(text) KVASIR_QUOTE(text)

#if defined(KVASIR_ISA_avx512_bf16) || defined(KVASIR_ISA_amx)
namespace kvasir::cpu {

namespace avx512 {
extern const SamplePasses sample_passes;
}

namespace KVASIR_ISA {

void run(const Matmul&, Context);

// These have other products than avx512, and nothing else.
const Kernels kernels = {
    KVASIR_NAME(KVASIR_ISA),
    [](const Op& op, Context context) {
      const auto* matmul = std::get_if<Matmul>(&op);
      return matmul ? run(*matmul, context) : avx512::kernels.run(op, context);
    },
    avx512::sample_passes,
};

}  // namespace KVASIR_ISA
}  // namespace kvasir::cpu
#else
namespace kvasir::cpu::KVASIR_ISA {

void run(const AddNorm&, Context);
void run(const Attention&, Context);
void run(const Embed&, Context);
void run(const GatherRows&, Context);
void run(const Matmul&, Context);
void run(const QkRopeAppend&, Context);
void run(const ScaleLogits&, Context);
extern const SamplePasses sample_passes;

const Kernels kernels = {
    KVASIR_NAME(KVASIR_ISA),
    [](const Op& op, Context context) { std::visit([&](const auto& each) { run(each, context); }, op); },
    sample_passes,
};

}  // namespace kvasir::cpu::KVASIR_ISA
#endif
