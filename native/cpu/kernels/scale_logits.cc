// scale_logits: see ops/scale_logits.h. In pieces of a row, so that one row has work for all threads, too.
#include "ops/scale_logits.h"

#include "cpu/kernels.h"
#include "cpu/kernels/activation.h"
#include "cpu/kernels/rows.h"

namespace kvasir::cpu::KVASIR_ISA {

void run(const ScaleLogits& op, Context context) {
  const int64_t pieces = (op.cols + kTaskElements - 1) / kTaskElements;
  for_items(context.threads, op.rows * pieces, least<int64_t>(op.cols, kTaskElements), [&](int64_t item) {
    const int64_t first = item % pieces * kTaskElements;
    float* x = row_of(op.x, item / pieces) + first;
    for_vectors(0, least(op.cols - first, kTaskElements), [&](int64_t i, int lanes) {
      const f32x16 scaled = load_lanes(x + i, lanes) * splat(op.scale);
      store_lanes(x + i, op.softcap > 0 ? soft_cap(scaled, op.softcap) : scaled, lanes);
    });
  });
}

}  // namespace kvasir::cpu::KVASIR_ISA
