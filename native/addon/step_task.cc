#include "addon/step_task.h"

#include <algorithm>

#include "addon/args.h"

namespace kvasir {
namespace {

std::vector<int32_t> prefix(const Args& args, const char* name, size_t count) {
  const auto array = args.any_array<int32_t>(name);
  if (array.size() < count) fail("INVALID_ARGUMENT", "%s has %zu elements; expected at least %zu for this step", name, array.size(), count);
  return {array.begin(), array.begin() + static_cast<ptrdiff_t>(count)};
}

size_t length(const char* name, int32_t value) {
  if (value < 0) fail("INVALID_ARGUMENT", "%s ends with %d; expected 0 or more", name, value);
  return static_cast<size_t>(value);
}

Drafts read_drafts(const Args& args, size_t rows) {
  Drafts drafts;
  drafts.indptr = prefix(args, "indptr", rows + 1);
  drafts.starts = prefix(args, "starts", rows);
  drafts.tokens = prefix(args, "tokens", length("indptr", drafts.indptr.back()));
  drafts.counts = prefix(args, "counts", rows);
  return drafts;
}

// Whole rows of logits in an array that JavaScript made; none without one.
int logit_rows(const Args& args, int vocab_size) {
  const size_t size = args.optional<float>("logits").size();
  if (size % vocab_size != 0 || size / vocab_size > size_t(kMostSize)) {
    fail("INVALID_ARGUMENT", "logits has %zu elements; expected a multiple of %d", size, vocab_size);
  }
  return static_cast<int>(size / vocab_size);
}

template <class Element>
void copy_back(const Args& args, const char* name, const std::vector<Element>& values) {
  if (values.empty()) return;
  const auto array = args.any_array<Element>(name);
  if (array.size() < values.size())
    fail("INVALID_ARGUMENT", "%s has %zu elements; expected at least %zu for the result", name, array.size(), values.size());
  std::copy(values.begin(), values.end(), array.begin());
}

void copy_results(const Args& args, const StepResult& result) {
  copy_back(args, "sampled", result.sampled);
  copy_back(args, "logprobs", result.logprobs);
  copy_back(args, "topTokens", result.top_tokens);
  copy_back(args, "topLogprobs", result.top_logprobs);
}

}  // namespace

StepTask::StepTask(EngineObject& object, Napi::Object buffers)
    : Task(object.Value()), object_(object), buffers_(Napi::Persistent(buffers)) {
  const Args args(buffers);
  const EngineConfig& config = object.engine().config();
  const size_t groups = config.spec.cache_groups.size();
  Batch& batch = step_.batch;
  batch.row_count = args.integer("rowCount", 1, config.max_slots);
  const size_t rows = static_cast<size_t>(batch.row_count);
  batch.slots = prefix(args, "slots", rows);
  batch.q_indptr = prefix(args, "qIndptr", rows + 1);
  batch.starts = prefix(args, "starts", rows);
  batch.tokens = prefix(args, "tokens", length("qIndptr", batch.q_indptr.back()));
  batch.kinds = prefix(args, "kinds", rows);
  batch.out_indptr = prefix(args, "outIndptr", rows + 1);
  batch.next_tokens = prefix(args, "nextTokens", rows);
  batch.logit_rows = prefix(args, "logitRows", rows);
  batch.kv_indptr = prefix(args, "kvIndptr", groups * (rows + 1));
  batch.kv_first = prefix(args, "kvFirst", groups * rows);
  batch.kv_pages = prefix(args, "kvPages", length("kvIndptr", batch.kv_indptr.back()));
  if (args.has("drafts")) batch.drafts = read_drafts(args.object("drafts"), rows);
  step_.logit_rows = logit_rows(args, config.spec.vocab_size);
}

bool StepTask::start() {
  object_.engine().submit(step_);
  object_.engine().sample(step_);
  return !object_.engine().done(step_.event);
}

Napi::Value StepTask::result(Napi::Env env) {
  const Args args(buffers_.Value());
  copy_results(args, step_.result);
  copy_back(args, "logits", step_.result.logits);
  return Napi::Boolean::New(env, step_.recorded);
}

ChoiceTask::ChoiceTask(EngineObject& object, int slot, std::vector<float> logits, Napi::Object results)
    : Task(object.Value()), object_(object), results_(Napi::Persistent(results)) {
  choice_.slot = slot;
  choice_.logits = std::move(logits);
}

bool ChoiceTask::start() {
  object_.engine().choose(choice_);
  return !object_.engine().done(choice_.event);
}

Napi::Value ChoiceTask::result(Napi::Env env) {
  copy_results(Args(results_.Value()), choice_.result);
  return env.Undefined();
}

}  // namespace kvasir
