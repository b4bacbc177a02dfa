#include "addon/step_task.h"

#include "addon/args.h"

namespace kvasir {
namespace {

std::vector<int32_t> prefix(const Args& args, const char* name, size_t count) {
  const auto array = args.any_array<int32_t>(name);
  if (array.size() < count) fail("INVALID_ARGUMENT", "%s has %zu elements; this step needs %zu", name, array.size(), count);
  return {array.begin(), array.begin() + static_cast<ptrdiff_t>(count)};
}

size_t length(const char* name, int32_t value) {
  if (value < 0) fail("INVALID_ARGUMENT", "%s ends at %d", name, value);
  return static_cast<size_t>(value);
}

template <class Element>
void copy_back(const Args& args, const char* name, const std::vector<Element>& values) {
  const auto array = args.any_array<Element>(name);
  if (array.size() < values.size()) fail("INVALID_ARGUMENT", "%s has %zu elements; the result has %zu", name, array.size(), values.size());
  std::copy(values.begin(), values.end(), array.begin());
}

Napi::Value to_map(Napi::Env env, const std::map<int, std::vector<float>>& rows) {
  Napi::Object map = env.Global().Get("Map").As<Napi::Function>().New({});
  const Napi::Function set = map.Get("set").As<Napi::Function>();
  for (const auto& [row, values] : rows) set.Call(map, {Napi::Number::New(env, row), copy_array<Napi::Float32Array>(env, values)});
  return map;
}

}  // namespace

StepTask::StepTask(EngineObject& object, Napi::Object buffers, int groups, int max_slots)
    : Task(object.Value()), object_(object), buffers_(Napi::Persistent(buffers)) {
  const Args args(buffers);
  batch_.row_count = args.integer("rowCount", 1, max_slots);
  const size_t rows = static_cast<size_t>(batch_.row_count);
  batch_.slots = prefix(args, "slots", rows);
  batch_.q_indptr = prefix(args, "qIndptr", rows + 1);
  batch_.starts = prefix(args, "starts", rows);
  batch_.tokens = prefix(args, "tokens", length("qIndptr", batch_.q_indptr.back()));
  batch_.outputs = prefix(args, "outputs", rows);
  batch_.next_tokens = prefix(args, "nextTokens", rows);
  batch_.want_logits = prefix(args, "wantLogits", rows);
  batch_.kv_indptr = prefix(args, "kvIndptr", groups * (rows + 1));
  batch_.kv_first = prefix(args, "kvFirst", groups * rows);
  batch_.kv_pages = prefix(args, "kvPages", length("kvIndptr", batch_.kv_indptr.back()));
}

Napi::Value StepTask::result(Napi::Env env) {
  const Args args(buffers_.Value());
  copy_back(args, "sampled", result_.sampled);
  copy_back(args, "logprobs", result_.logprobs);
  copy_back(args, "topTokens", result_.top_tokens);
  copy_back(args, "topLogprobs", result_.top_logprobs);
  Napi::Object output = Napi::Object::New(env);
  output.Set("logits", to_map(env, result_.logits));
  output.Set("scores", to_map(env, result_.scores));
  return output;
}

}  // namespace kvasir
