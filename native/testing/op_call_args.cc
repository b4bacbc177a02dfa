#include "testing/op_call_args.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

namespace kvasir::testing {
namespace {

constexpr int kMostGroups = 8;

// [count], or `fallback` in all places.
std::vector<int32_t> read_integers(const Args& args, const char* name, size_t count, int32_t fallback) {
  if (!args.has(name)) return std::vector<int32_t>(count, fallback);
  const auto array = args.array<int32_t>(name, count);
  return {array.begin(), array.end()};
}

// Begins with 0 and does not fall.
void check_indptr(const char* name, std::span<const int32_t> indptr) {
  if (indptr.empty() || indptr[0] != 0 || !std::ranges::is_sorted(indptr)) {
    fail("INVALID_ARGUMENT", "%s falls or does not begin with 0", name);
  }
  if (indptr.back() > kMostTokens) fail("INVALID_ARGUMENT", "%s ends with %d; expected at most %d", name, indptr.back(), kMostTokens);
}

void check_positions(const Batch& batch) {
  for (int row = 0; row < batch.row_count; ++row) {
    const int count = batch.q_indptr[row + 1] - batch.q_indptr[row], outputs = batch.out_indptr[row + 1] - batch.out_indptr[row];
    if (batch.starts[row] < 0 || batch.starts[row] > kMostSize - count) {
      fail("INVALID_ARGUMENT", "starts[%d] is %d; expected 0 to %d", row, batch.starts[row], kMostSize - count);
    }
    if (outputs > count) fail("INVALID_ARGUMENT", "row %d has %d outputs; expected at most its %d tokens", row, outputs, count);
  }
}

}  // namespace

double best_time(const Call& call, const std::function<void()>& run) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < call.repeat; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

double run_op(const Call& call, const Op& op) {
  return best_time(call, [&] { call.backend.run(op); });
}

size_t elements(std::initializer_list<int64_t> shape) {
  size_t product = 1;
  for (int64_t size : shape) {
    if (__builtin_mul_overflow(product, static_cast<size_t>(size), &product))
      fail("INVALID_ARGUMENT", "the sizes multiply to 2^64 or more");
  }
  return product;
}

View read_view(const Args& args, const char* name, int rows, int cols) {
  const Args view = args.object(name);
  if (!view.has("stride")) return {args.array<float>(name, elements({rows, cols})).data(), DType::F32, cols};
  const int stride = view.integer("stride", cols, kMostSize);
  return {view.array<float>("data", elements({rows, stride})).data(), DType::F32, stride};
}

View read_optional_view(const Args& args, const char* name, int rows, int cols) {
  return args.has(name) ? read_view(args, name, rows, cols) : View{};
}

Norm read_norm(const Args& args) {
  const auto kind = static_cast<NormKind>(args.has("norm") ? args.choice("norm", {"rms", "layer"}) : 0);
  return {kind, static_cast<float>(args.number("epsilon", 0))};
}

Batch read_batch(const Args& args, int groups) {
  Batch batch;
  const auto q_indptr = args.any_array<int32_t>("qIndptr");
  check_indptr("qIndptr", q_indptr);
  batch.row_count = to_integer("the number of rows", static_cast<double>(q_indptr.size() - 1), 0, kMostTokens);
  const size_t B = q_indptr.size() - 1, G = static_cast<size_t>(groups);
  batch.q_indptr.assign(q_indptr.begin(), q_indptr.end());
  batch.starts = read_integers(args, "starts", B, 0);
  batch.tokens = read_integers(args, "tokens", static_cast<size_t>(batch.token_count()), 0);
  batch.slots = read_integers(args, "slots", B, 0);
  batch.kinds = read_integers(args, "kinds", B, static_cast<int32_t>(RowOutput::None));
  batch.out_indptr = read_integers(args, "outIndptr", B + 1, 0);
  check_indptr("outIndptr", batch.out_indptr);
  check_positions(batch);
  batch.next_tokens = read_integers(args, "nextTokens", B, -1);
  batch.logit_rows = read_integers(args, "logitRows", B, -1);
  batch.kv_indptr = read_integers(args, "kvIndptr", G * (B + 1), 0);
  batch.kv_first = read_integers(args, "kvFirst", G * B, 0);
  const auto pages = args.optional<int32_t>("kvPages");
  batch.kv_pages.assign(pages.begin(), pages.end());
  return batch;
}

StepSizes read_sizes(const Args& args, const Batch& batch, int groups) {
  StepSizes sizes = sizes_of(batch, groups);
  if (args.has("padding")) {
    const Args padding = args.object("padding");
    sizes.rows += padding.integer("rows", 0, kMostTokens, 0);
    sizes.tokens += padding.integer("tokens", 0, kMostTokens, 0);
    sizes.outputs += padding.integer("outputs", 0, kMostTokens, 0);
  }
  // Outputs that were added are of token 0.
  if (sizes.outputs > 0 && sizes.tokens == 0) fail("INVALID_ARGUMENT", "a step with outputs has no tokens");
  return sizes;
}

Step::Step(Batch rows, const StepSizes& sizes) : batch(std::move(rows)), tables(static_cast<size_t>(sizes.groups)) {
  const StepLayout layout(sizes);
  arrays.resize(static_cast<size_t>(layout.elements()));
  layout.write(batch, sizes, arrays.data());
  inputs = layout.inputs(sizes, arrays.data(), tables);
}

Step read_step(const Args& args) {
  const Args step = args.object("step");
  const int groups = step.integer("groups", 0, kMostGroups, 1);
  Batch batch = read_batch(step, groups);
  const StepSizes sizes = read_sizes(step, batch, groups);
  return Step(std::move(batch), sizes);
}

}  // namespace kvasir::testing
