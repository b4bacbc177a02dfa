// add: see ops/add.h.
#include "ops/add.h"

#include "cpu/kernels.h"
#include "cpu/kernels/loops.h"

namespace kvasir::cpu::KVASIR_ISA {

void add(const Add& op, Threads& threads) {
  for_elements(threads, op.count,
               [&](int64_t i, int lanes) { store_lanes(op.x + i, load_lanes(op.x + i, lanes) + load_lanes(op.y + i, lanes), lanes); });
}

}  // namespace kvasir::cpu::KVASIR_ISA
