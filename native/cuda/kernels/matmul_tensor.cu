// matmul on the tensor cores: what of an op goes to which kernel.
#include "cuda/kernels/matmul_tensor.h"

#include <utility>

#include "cuda/kernels.h"
#include "cuda/kernels/launch.h"

namespace kvasir::cuda {
namespace {

bool is_wide(const Matmul& op) {
  return has_wgmma() && op.rows > kFewRows && op.outputs[0].weight->cols % kTileCols == 0;
}

void multiply(const Matmul& op, DType type, bool gated, Launch& launch, cudaStream_t stream) {
  launch.unit = unit_of(type);
  (is_wide(op) ? multiply_wide : multiply_narrow)(type, gated, launch, stream);
}

bool is_by_prompts(const Matmul& op) {
  return is_wide(op) && is_prompt(op.rows, panels_of(op.outputs[0].weight->rows), false);
}

// Whether an op that can add does so for this add_norm; and whether its kernel may make the norm's y, too.
bool adds_for(const Matmul& op, const AddNorm& norm) {
  const bool in_fours = norm.cols % kPanelRows == 0 && norm.x.stride % 4 == 0;  // as the ends of prompts' tiles take them
  return norm.rows == op.rows && norm.delta.data == op.outputs[0].y.data && !norm.post_weight && (in_fours || !is_by_prompts(op));
}
bool can_norm(const Matmul& op) {
  return op.rows <= kFewRows || is_by_prompts(op);
}

// Gate and up: their panels are run together.
void run_gated(const Matmul& op, Launch& launch, cudaStream_t stream) {
  for (int i = 0; i < 2; ++i) launch.parts[i] = {view_of(*op.outputs[i].weight), op.outputs[i].bias, op.outputs[i].y, 0};
  launch.count = 1;
  launch.panels = panels_of(op.outputs[0].weight->rows);
  launch.activation = op.activation;
  multiply(op, op.outputs[0].weight->type, true, launch, stream);
}

// The projections of one type, side by side.
void run_type(const Matmul& op, DType type, Launch& launch, cudaStream_t stream) {
  launch.count = launch.panels = 0;
  for (const Projection& out : op.outputs) {
    if (out.weight == nullptr || out.weight->type != type) continue;
    launch.parts[launch.count++] = {view_of(*out.weight), out.bias, out.y, launch.panels};
    launch.panels += panels_of(out.weight->rows);
  }
  multiply(op, type, false, launch, stream);
}

}  // namespace

bool can_run_tensor(const Matmul& op) {
  if (op.x.type != DType::BF16 || op.x.stride % kTileCols != 0 || op.outputs[0].weight->cols % 8 != 0) return false;
  for (const Projection& out : op.outputs) {
    if (out.weight != nullptr && !view_of(*out.weight).packed) return false;
  }
  return op.epilogue != Epilogue::Gate || op.outputs[0].weight->type == op.outputs[1].weight->type;
}

bool fuses_gate(const Matmul& op) {
  return op.epilogue == Epilogue::Gate && can_run_tensor(op) && gate_fits(op.outputs[0].weight->type);
}

bool can_add(const Matmul& op) {
  return op.outputs[1].weight == nullptr && op.epilogue == Epilogue::None && op.outputs[0].y.type == DType::F32 && can_run_tensor(op);
}

RowScales run(const Matmul& op, const AddNorm& norm, cudaStream_t stream, const RowScales& scales, float* left,
              const MatmulMemory& memory) {
  if (op.rows == 0) return {};
  const bool leaves = leaves_scales(norm), adds = adds_for(op, norm);
  // Not where it reads scales or the last y itself: its blocks would still read what others write.
  if (leaves && adds && can_norm(op) && scales.values == nullptr && op.x.data != norm.y.data) {
    const RowScales squares{.values = left, .cols = norm.cols, .epsilon = norm.norm.epsilon};
    run_tensor(op, {.add = &norm, .left = squares}, memory, stream);
    return op.rows <= kFewRows ? squares : finish_scales(squares, op.rows, stream);
  }
  run_tensor(op, {.scales = scales, .add = adds ? &norm : nullptr}, memory, stream);
  AddNorm rest = norm;
  if (adds) rest.delta = {};
  if (rest.delta || rest.y) run(rest, stream, leaves ? left : nullptr);
  return {.values = leaves ? left : nullptr};
}

void run_tensor(const Matmul& op, const Norms& norms, const MatmulMemory& memory, cudaStream_t stream) {
  Launch launch{};
  launch.cols = op.outputs[0].weight->cols;
  launch.x = op.x;
  launch.rows = op.rows;
  launch.scales = norms.scales;
  launch.split = memory.split;
  launch.scratch = memory.scratch;
  if (const AddNorm* add = norms.add) {
    launch.added = {.x = add->x, .scale = add->delta_scale, .left = norms.left};
    if (norms.left.values != nullptr) launch.added.y = add->y, launch.added.weight = static_cast<const float*>(add->weight.data);
  }
  if (fuses_gate(op)) return run_gated(op, launch, stream);
  bool done[std::size(kDTypes)] = {};
  for (const Projection& out : op.outputs) {
    if (out.weight == nullptr || std::exchange(done[static_cast<int>(out.weight->type)], true)) continue;
    run_type(op, out.weight->type, launch, stream);
  }
}

}  // namespace kvasir::cuda
