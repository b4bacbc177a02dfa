// rmsnorm: see ops/rmsnorm.h.
#include "ops/rmsnorm.h"

#include "cpu/kernels.h"
#include "cpu/kernels/loops.h"

namespace kvasir::cpu::KVASIR_ISA {

void rmsnorm(const RmsNorm& op, Threads& threads) {
  for_items(threads, op.rows, op.cols, [&](int64_t row) {
    const float* x = op.x + row * op.cols;
    float* y = op.y + row * op.cols;
    f32x16 squares = zeros();
    for_vectors(0, op.cols, [&](int64_t i, int lanes) {
      const f32x16 part = load_lanes(x + i, lanes);
      squares = fma(part, part, squares);
    });
    const float mean = sum(squares) / static_cast<float>(op.cols);
    const f32x16 scale = splat(1.0f / __builtin_sqrtf(mean + op.epsilon));
    for_vectors(0, op.cols, [&](int64_t i, int lanes) {
      store_lanes(y + i, load_lanes(x + i, lanes) * scale * load_lanes(op.weight + i, lanes), lanes);
    });
  });
}

}  // namespace kvasir::cpu::KVASIR_ISA
