// matmul: see ops/matmul.h. One task is some panels of 16 outputs of one projection, for all rows (matmul_tiles.h).
#include "ops/matmul.h"

#include "cpu/kernels/activation.h"
#include "cpu/kernels/matmul_tiles.h"

namespace kvasir::cpu::KVASIR_ISA {
namespace {

// Beside each, other values and their relative speeds (bench:compare -- HEAD): decode at batch 1 on two EPYC cores, 135M q8_0 (kSerialWork: tales).
constexpr int64_t kTaskBytes = 64 << 10;    // of weights; 16, 256 KiB: 0.88, 1.04, but that leaves few tasks to many cores
constexpr int64_t kTilePanels = 8;          // that tiles of many rows are multiplied with: so often a tile that came to L2 is used
constexpr int64_t kSerialWork = 256 << 10;  // bytes of weights times rows, below: one thread; 2 MiB: 0.75

// What is done to y of the first output. In pieces, so that one row has work for all threads, too.
void apply_epilogue(const Matmul& op, Threads& threads) {
  const int64_t N = op.outputs[0].weight->rows, pieces = (N + kTaskElements - 1) / kTaskElements;
  for_items(threads, op.rows * pieces, least(N, kTaskElements), [&](int64_t item) {
    const int64_t row = item / pieces, first = item % pieces * kTaskElements;
    const int count = static_cast<int>(least(N - first, kTaskElements));
    float* y = row_of(op.outputs[0].y, row) + first;
    if (op.epilogue == Epilogue::Activate) return apply_activation(op.activation, y, count);
    multiply_gate(op.activation, y, row_of(op.outputs[1].y, row) + first, count);
  });
}

// One projection's panels, in tasks of `grain` panels; tasks of all projections are numbered one after the other.
struct Part {
  PanelKernel kernel;
  const PackedWeight* weight;
  int64_t grain;
  int64_t tasks;
};

Part make_part(const Projection& out, int rows, int threads) {
  const auto* weight = static_cast<const PackedWeight*>(out.weight);
  const int64_t panels = weight->panels(), most_panels = most<int64_t>(1, panels / (4 * threads));
  const int64_t enough = kHasTiles && rows > 2 * kLanes ? kTilePanels : kTaskBytes / static_cast<int64_t>(weight->panel_bytes);
  const int64_t grain = least(most_panels, most<int64_t>(1, enough));
  return {panel_kernel(weight->type, weight->compute), weight, grain, (panels + grain - 1) / grain};
}

void run_task(const Job& job, const Projection& out, const Part& part, int64_t task) {
  const int64_t first = task * part.grain, last = least<int64_t>(part.weight->panels(), first + part.grain);
  part.kernel(job, out, *part.weight, static_cast<int>(first), static_cast<int>(last));
}

}  // namespace

void run(const Matmul& op, Context context) {
  if (op.rows == 0) return;
  Part parts[Matmul::kMostOutputs];
  int64_t tasks = 0, work = 0;
  for (int i = 0; i < Matmul::kMostOutputs && op.outputs[i].weight; ++i) {
    parts[i] = make_part(op.outputs[i], op.rows, context.threads.count());
    tasks += parts[i].tasks;
    work += static_cast<int64_t>(parts[i].weight->bytes) * op.rows;
  }
  const Job job = prepare(op, context);
  const auto multiply = [&](int64_t task, int) {
    int i = 0;
    for (; task >= parts[i].tasks; ++i) task -= parts[i].tasks;
    run_task(job, op.outputs[i], parts[i], task);
  };
  if (work >= kSerialWork) {
    context.threads.parallel(tasks, multiply);
  } else {
    for (int64_t task = 0; task < tasks; ++task) multiply(task, 0);
  }
  if (op.epilogue != Epilogue::None) apply_epilogue(op, context.threads);
}

}  // namespace kvasir::cpu::KVASIR_ISA
