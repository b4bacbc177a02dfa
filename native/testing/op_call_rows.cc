// add_norm, embed, gather_rows, matmul: ops on rows of activations and weights.
#include <vector>

#include "addon/config_reader.h"
#include "testing/op_call_args.h"
#include "testing/op_call_ops.h"

namespace kvasir::testing {
namespace {

// A matrix [rows, cols] packed from the file's layout.
Matrix read_weight(Backend& backend, const Args& args, const char* name, int cols, Compute compute) {
  const DType type = args.dtype("type");
  const DTypeInfo& block = kvasir::info(type);
  const int rows = args.integer("rows", 1, kMostSize);
  if (cols % block.block != 0) fail("INVALID_ARGUMENT", "cols is %d; expected a multiple of %s's %d", cols, block.name, block.block);
  const auto bytes = args.array<uint8_t>(name, elements({rows, cols / block.block, block.bytes}));
  Matrix weight = backend.create_weight(type, compute, rows, cols);
  backend.pack_rows(*weight, 0, rows, bytes);
  return weight;
}

}  // namespace

double call_add_norm(const Call& call) {
  const Args& args = call.args;
  const int rows = args.integer("rows", 0, kMostSize), cols = args.integer("cols", 1, kMostSize);
  return run_op(call, AddNorm{.x = read_view(args, "x", rows, cols),
                              .delta = read_optional_view(args, "delta", rows, cols),
                              .delta_scale = static_cast<float>(args.number("deltaScale", 1)),
                              .post_weight = read_optional_view(args, "postWeight", 1, cols),
                              .y = read_optional_view(args, "y", rows, cols),
                              .weight = read_optional_view(args, "weight", 1, cols),
                              .bias = read_optional_view(args, "bias", 1, cols),
                              .rows = rows,
                              .cols = cols,
                              .norm = read_norm(args)});
}

double call_embed(const Call& call) {
  const Args& args = call.args;
  const int cols = args.integer("cols", 1, kMostSize);
  const Step step = read_step(args);
  const View y = read_view(args, "y", step.inputs.tokens, cols);
  const Matrix table = read_weight(call.backend, args, "table", cols, Compute::F32);
  check_ids("tokens", step.batch.tokens, table->rows);
  Matrix positions;
  if (args.has("positions")) {
    positions = read_weight(call.backend, args.object("positions"), "table", cols, Compute::F32);
    check_ids("positions", {step.inputs.positions, static_cast<size_t>(step.inputs.tokens)}, positions->rows);
  }
  return run_op(call, Embed{.step = &step.inputs,
                            .table = table.get(),
                            .position_table = positions.get(),
                            .y = y,
                            .scale = static_cast<float>(args.number("scale"))});
}

double call_gather_rows(const Call& call) {
  const Args& args = call.args;
  const int cols = args.integer("cols", 1, kMostSize);
  const Step step = read_step(args);
  const int first = args.integer("first", 0, step.inputs.outputs, 0);
  const int count = args.integer("count", 0, step.inputs.outputs - first, step.inputs.outputs - first);
  return run_op(call, GatherRows{.step = &step.inputs,
                                 .x = read_view(args, "x", step.inputs.tokens, cols),
                                 .y = read_view(args, "y", count, cols),
                                 .first = first,
                                 .count = count,
                                 .cols = cols});
}

double call_matmul(const Call& call) {
  const Args& args = call.args;
  const int rows = args.integer("rows", 0, kMostSize), cols = args.integer("cols", 1, kMostSize);
  const Compute compute = read_compute(args, "compute");
  Matmul op{.x = read_view(args, "x", rows, cols), .rows = rows, .outputs = {}};
  std::vector<Matrix> weights;
  for (const Args& output : args.list("outputs", 1, Matmul::kMostOutputs)) {
    Projection& projection = op.outputs[weights.size()];
    const int N = output.integer("rows", 1, kMostSize);
    projection.bias = read_optional_view(output, "bias", 1, N);
    projection.y = read_view(output, "y", rows, N);
    weights.push_back(read_weight(call.backend, output, "weight", cols, compute));
    projection.weight = weights.back().get();
  }
  op.epilogue = static_cast<Epilogue>(args.has("epilogue") ? args.choice("epilogue", {"none", "gate", "activate"}) : 0);
  if (op.epilogue != Epilogue::None) op.activation = read_activation(args, "activation");
  if (op.epilogue == Epilogue::Gate) {
    if (weights.size() != 2 || weights[0]->rows != weights[1]->rows) {
      fail("INVALID_ARGUMENT", "a gated matmul has %zu outputs; expected two with as many rows", weights.size());
    }
  }
  return run_op(call, op);
}

double call_scale_logits(const Call& call) {
  const Args& args = call.args;
  const int rows = args.integer("rows", 0, kMostSize), cols = args.integer("cols", 1, kMostSize);
  return run_op(call, ScaleLogits{.x = read_view(args, "x", rows, cols),
                                  .rows = rows,
                                  .cols = cols,
                                  .scale = static_cast<float>(args.number("scale")),
                                  .softcap = static_cast<float>(args.number("softcap"))});
}

}  // namespace kvasir::testing
