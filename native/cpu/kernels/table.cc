// This instruction set's kernels: one `run` for each op, in the op's file, and the sampler's passes.
#include "cpu/kernels.h"

namespace kvasir::cpu::KVASIR_ISA {

void run(const AddNorm&, Context);
void run(const Attention&, Context);
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
