// sample: slots of their own, then steps and choices in order.
//
//   slots  [slots] of SlotConfig
//   steps  a step: the arrays of StepBuffers with `logits` [R, V], sampled `piece` outputs at a time; raw or adjusted logits go to
//          `resultLogits`. Or a choice: { choose: slot, logits [V] }. Both with arrays for what they give: sampled, logprobs, topTokens, ...
#include <algorithm>
#include <optional>
#include <variant>

#include "addon/config_reader.h"
#include "cpu/kernels.h"
#include "cpu/sample.h"
#include "cpu/slots.h"
#include "engine/batch.h"
#include "testing/op_call_args.h"
#include "testing/op_call_ops.h"
#include "testing/team_slots.h"

namespace kvasir::testing {
namespace {

constexpr int kMostSlots = 4096, kMostEntries = 1 << 16;

// The caller's arrays for a StepResult; those that are left out are empty.
struct Results {
  std::span<int32_t> sampled, top_tokens;
  std::span<float> logprobs, top_logprobs, logits;
};

// Outputs of a step are sampled `piece` at a time.
struct SampleStep {
  Batch batch;
  StepSizes sizes;
  View logits;
  std::unique_ptr<Buffer> buffer;  // of the logits, where they are not the host's
  int piece;
  Results results;
  StepResult result;
};

struct SlotChoice {
  int slot;
  std::span<const float> logits;
  Results results;
  StepResult result;
};

using Entry = std::variant<SampleStep, SlotChoice>;

template <class Element>
std::span<Element> read_result(const Args& args, const char* name, size_t count) {
  return args.has(name) ? args.array<Element>(name, count) : std::span<Element>();
}

Results read_results(const Args& args, int outputs) {
  const size_t R = static_cast<size_t>(outputs), tops = R * kMaxTopLogprobs;
  return {read_result<int32_t>(args, "sampled", R), read_result<int32_t>(args, "topTokens", tops), read_result<float>(args, "logprobs", R),
          read_result<float>(args, "topLogprobs", tops), args.optional<float>("resultLogits")};
}

void copy_results(const StepResult& result, const Results& results) {
  std::copy_n(result.sampled.begin(), results.sampled.size(), results.sampled.begin());
  std::copy_n(result.logprobs.begin(), results.logprobs.size(), results.logprobs.begin());
  std::copy_n(result.top_tokens.begin(), results.top_tokens.size(), results.top_tokens.begin());
  std::copy_n(result.top_logprobs.begin(), results.top_logprobs.size(), results.top_logprobs.begin());
  std::copy_n(result.logits.begin(), std::min(result.logits.size(), results.logits.size()), results.logits.begin());
}

SampleStep read_sample_step(const Args& args, int slots, int vocab) {
  SampleStep step;
  step.batch = read_batch(args, 0);
  step.sizes = read_sizes(args, step.batch, 0);
  step.logits = read_view(args, "logits", step.sizes.outputs, vocab);
  step.piece = args.integer("piece", 1, kMostTokens, kMostTokens);
  step.results = read_results(args, step.sizes.outputs);
  if (step.results.logits.size() % vocab != 0) {
    fail("INVALID_ARGUMENT", "resultLogits has %zu elements; expected a multiple of %d", step.results.logits.size(), vocab);
  }
  EngineConfig limits{};  // what the engine asks of a step from outside; there are no pages
  limits.page_size = 16;
  limits.spec.vocab_size = vocab;
  limits.max_slots = slots;
  limits.max_batch_tokens = kMostTokens;
  limits.max_context = kMostSize;
  check(step.batch, limits,
        to_integer("the rows of resultLogits", static_cast<double>(step.results.logits.size() / vocab), 0, kMostTokens));
  return step;
}

SlotChoice read_slot_choice(const Args& args, int slots, int vocab) {
  return {args.integer("choose", 0, slots - 1), args.array<float>("logits", static_cast<size_t>(vocab)), read_results(args, 1), {}};
}

std::vector<SlotConfig> read_slots(const Args& args, int vocab) {
  std::vector<SlotConfig> slots;
  for (const Args& slot : args.list("slots", 1, kMostSlots)) slots.push_back(read_slot_config(slot, vocab));
  return slots;
}

std::vector<Entry> read_entries(const Args& args, int slots, int vocab) {
  std::vector<Entry> entries;
  for (const Args& entry : args.list("steps", 1, kMostEntries)) {
    if (entry.has("choose")) {
      entries.emplace_back(read_slot_choice(entry, slots, vocab));
    } else {
      entries.emplace_back(read_sample_step(entry, slots, vocab));
    }
  }
  return entries;
}

// `kept` [V]: 1 for the tokens that the stages leave of the first step's first logits, by the first slot's parameters; none at temperature 0,
// where no stage runs.
void fill_kept(const Call& call, const SampleParams& params, const std::vector<Entry>& entries, int vocab) {
  if (!call.args.has("kept")) return;
  const auto kept = call.args.array<uint8_t>("kept", static_cast<size_t>(vocab));
  const auto* step = std::get_if<SampleStep>(&entries[0]);
  if (step == nullptr || step->sizes.outputs == 0) fail("INVALID_ARGUMENT", "kept is of logits; the first step has none");
  std::fill(kept.begin(), kept.end(), uint8_t(0));
  if (params.temperature == 0) return;
  const std::span<const float> logits(static_cast<const float*>(step->logits.data), static_cast<size_t>(vocab));
  if (call.team.blocks > 0) return keep_by_team(logits, params, call.team.blocks, call.team.threads, kept);
  for (const cpu::Kernels* kernels : cpu::available_kernels()) {
    if (call.isa == kernels->isa) cpu::mark_kept(logits, params, kernels->sample, kept);
  }
}

// The largest sizes of all steps.
StepSizes capacity_of(const std::vector<Entry>& entries) {
  StepSizes most;
  for (const Entry& entry : entries) {
    const auto* step = std::get_if<SampleStep>(&entry);
    if (step == nullptr) continue;
    most.rows = std::max(most.rows, step->sizes.rows);
    most.tokens = std::max(most.tokens, step->sizes.tokens);
    most.outputs = std::max(most.outputs, step->sizes.outputs);
  }
  return most;
}

// Copies the logits to the back end's memory, where that is not the host's.
void upload(Backend& backend, SampleStep& step, int vocab) {
  if (step.sizes.outputs == 0) return;
  const size_t bytes = ((step.sizes.outputs - 1) * step.logits.stride + vocab) * sizeof(float);
  step.buffer = backend.allocate(bytes);
  backend.upload(*step.buffer, {static_cast<const uint8_t*>(step.logits.data), bytes});
  step.logits.data = step.buffer->address();
}

// Only the CPU's slots take steps that somebody else has padded.
const StepInputs& begin_step(Slots& slots, const SampleStep& step, std::optional<Step>& padded) {
  auto* cpu_slots = dynamic_cast<cpu::CpuSlots*>(&slots);
  const bool pads = step.sizes.rows > step.batch.row_count || step.sizes.tokens > step.batch.token_count() ||
                    step.sizes.outputs > step.batch.output_count();
  if (!pads || cpu_slots == nullptr) return slots.begin_step(step.batch);
  padded.emplace(step.batch, step.sizes);
  cpu_slots->put_last_tokens(padded->inputs);
  return padded->inputs;
}

void run_entry(Slots& slots, SampleStep& step) {
  std::optional<Step> padded;
  const StepInputs& inputs = begin_step(slots, step, padded);
  step.result.reset(step.sizes.outputs, step.results.logits.size());
  for (int first = 0; first < inputs.outputs; first += step.piece) {
    View logits = step.logits;
    logits.data = static_cast<float*>(logits.data) + first * logits.stride;
    slots.sample({&inputs, logits, first, std::min(step.piece, inputs.outputs - first), &step.result});
  }
}

void run_entry(Slots& slots, SlotChoice& choice) {
  choice.result.reset(1, 0);
  slots.choose({choice.slot, {choice.logits.begin(), choice.logits.end()}, &choice.result});
}

}  // namespace

double call_sample(const Call& call) {
  const int vocab = call.args.integer("vocab", 1, 1 << 24);
  const std::vector<SlotConfig> configs = read_slots(call.args, vocab);
  const int count = static_cast<int>(configs.size());
  std::vector<Entry> entries = read_entries(call.args, count, vocab);
  fill_kept(call, configs[0].params, entries, vocab);
  const SlotLimits limits{.slots = count, .vocab = vocab, .step = capacity_of(entries)};
  const std::unique_ptr<Slots> slots =
      call.team.blocks > 0 ? std::make_unique<TeamSlots>(limits, call.team.blocks, call.team.threads) : call.backend.create_slots(limits);
  for (int i = 0; i < count; ++i) slots->set(i, configs[i]);
  for (Entry& entry : entries) {
    auto* step = std::get_if<SampleStep>(&entry);
    if (step != nullptr && call.on_device) upload(call.backend, *step, vocab);
  }
  const double seconds = best_time(call, [&] {
    for (Entry& entry : entries) std::visit([&](auto& each) { run_entry(*slots, each); }, entry);
    call.backend.wait(call.backend.record());
  });
  for (const Entry& entry : entries) std::visit([](const auto& each) { copy_results(each.result, each.results); }, entry);
  return seconds;
}

}  // namespace kvasir::testing
