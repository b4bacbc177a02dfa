// add_norm: see ops/add_norm.h. A row is added and normed while it is in L1.
#include "ops/add_norm.h"

#include "cpu/kernels.h"
#include "cpu/kernels/rows.h"

namespace kvasir::cpu::KVASIR_ISA {
namespace {

void add(float* x, const float* delta, float scale, int cols) {
  for_vectors(0, cols, [&](int64_t i, int lanes) {
    store_lanes(x + i, load_lanes(x + i, lanes) + load_lanes(delta + i, lanes) * splat(scale), lanes);
  });
}

void add_normed(const AddNorm& op, float* x, const float* delta) {
  for_normed(delta, row_of(op.post_weight, 0), op.cols, op.norm, [&](int64_t i, int lanes, f32x16 normed) {
    store_lanes(x + i, load_lanes(x + i, lanes) + normed * splat(op.delta_scale), lanes);
  });
}

void put_norm(const AddNorm& op, const float* x, float* y) {
  if (!op.weight) {
    if (x != y) std::memcpy(y, x, size_t(op.cols) * sizeof(float));
  } else if (!op.bias) {
    norm(x, row_of(op.weight, 0), op.cols, op.norm, y);
  } else {
    const float* bias = row_of(op.bias, 0);
    for_normed(x, row_of(op.weight, 0), op.cols, op.norm,
               [&](int64_t i, int lanes, f32x16 normed) { store_lanes(y + i, normed + load_lanes(bias + i, lanes), lanes); });
  }
}

}  // namespace

void run(const AddNorm& op, Context context) {
  for_items(context.threads, op.rows, op.cols, [&](int64_t row) {
    float* x = row_of(op.x, row);
    if (op.delta && op.post_weight) {
      add_normed(op, x, row_of(op.delta, row));
    } else if (op.delta) {
      add(x, row_of(op.delta, row), op.delta_scale, op.cols);
    }
    if (op.y) put_norm(op, x, row_of(op.y, row));
  });
}

}  // namespace kvasir::cpu::KVASIR_ISA
