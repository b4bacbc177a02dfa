// add_norm: see ops/add_norm.h. A row is added and normed while it is in L1.
#include "ops/add_norm.h"

#include "cpu/kernels.h"
#include "cpu/kernels/rows.h"

namespace kvasir::cpu::KVASIR_ISA {
namespace {

void add(float* x, const float* delta, int cols) {
  for_vectors(0, cols, [&](int64_t i, int lanes) { store_lanes(x + i, load_lanes(x + i, lanes) + load_lanes(delta + i, lanes), lanes); });
}

// x += norm(delta, weight)
void add_normed(float* x, const float* delta, const float* weight, int cols, float epsilon) {
  const f32x16 scale = norm_scale(delta, cols, epsilon);
  for_vectors(0, cols, [&](int64_t i, int lanes) {
    const f32x16 normed = load_lanes(delta + i, lanes) * scale * load_lanes(weight + i, lanes);
    store_lanes(x + i, load_lanes(x + i, lanes) + normed, lanes);
  });
}

}  // namespace

void run(const AddNorm& op, Context context) {
  for_items(context.threads, op.rows, op.cols, [&](int64_t row) {
    float* x = row_of(op.x, row);
    if (op.delta && op.post_weight) {
      add_normed(x, row_of(op.delta, row), row_of(op.post_weight, 0), op.cols, op.epsilon);
    } else if (op.delta) {
      add(x, row_of(op.delta, row), op.cols);
    }
    if (op.y) norm(x, row_of(op.weight, 0), op.cols, op.epsilon, row_of(op.y, row));
  });
}

}  // namespace kvasir::cpu::KVASIR_ISA
