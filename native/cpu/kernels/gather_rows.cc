// gather_rows: see ops/gather_rows.h.
#include "ops/gather_rows.h"

#include "cpu/kernels.h"
#include "cpu/kernels/rows.h"

namespace kvasir::cpu::KVASIR_ISA {

void run(const GatherRows& op, Context context) {
  for_items(context.threads, op.count, op.cols, [&](int64_t i) {
    std::memcpy(row_of(op.y, i), row_of(op.x, op.step->out_tokens[op.first + i]), size_t(op.cols) * sizeof(float));
  });
}

}  // namespace kvasir::cpu::KVASIR_ISA
