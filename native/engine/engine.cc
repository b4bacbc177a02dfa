#include "engine/engine.h"

#include <algorithm>

#include "engine/batch.h"
#include "tensor/status.h"

namespace kvasir {
namespace {

// Page tables of the largest step: each sequence with every page that its context can have, in each group.
SlotLimits limits_of(const EngineConfig& config) {
  const int rows = std::min(config.max_slots, config.max_batch_tokens), groups = static_cast<int>(config.spec.cache_groups.size());
  const int tokens = config.max_batch_tokens;
  return {config.max_slots,
          config.spec.vocab_size,
          {rows, tokens, tokens, groups, most_pages(config, rows)},
          config.draft ? config.draft->spec.vocab_size : 0};
}

}  // namespace

Engine::Engine(EngineConfig config, BackendFactory create_backend) : config_(std::move(config)), states_(config_.max_slots) {
  check(config_);
  if (config_.draft) check(*config_.draft);
  backend_ = create_backend(config_.device);
  check_limits(config_.spec, *backend_);
  if (config_.draft) check_limits(config_.draft->spec, *backend_);
}

void Engine::load(const Progress& progress) {
  if (decoder_) fail("INVALID_ARGUMENT", "the engine is loaded already");
  backend_->enter_thread();
  const int64_t own = tensor_bytes(config_), drafts = config_.draft ? tensor_bytes(*config_.draft) : 0;
  auto decoder = load_decoder(config_, [&](int64_t done, int64_t) { progress(done, own + drafts); });
  if (config_.draft) drafter_ = load_decoder(*config_.draft, [&](int64_t done, int64_t) { progress(own + done, own + drafts); });
  slots_ = backend_->create_slots(limits_of(config_));
  backend_->wait(backend_->record());
  decoder_ = std::move(decoder);
}

std::unique_ptr<Decoder> Engine::load_decoder(const ModelConfig& config, const Progress& progress) {
  WeightSource weights(config, *backend_, progress, cancelled_);
  const int most_vocab = std::max(config_.spec.vocab_size, config_.draft ? config_.draft->spec.vocab_size : 0);
  return std::make_unique<Decoder>(config, *backend_, weights, most_vocab);
}

void Engine::set_slot(int slot, SlotConfig config) {
  if (!decoder_) fail("INVALID_ARGUMENT", "the engine is not loaded");
  backend_->enter_thread();
  states_.at(slot) = {};
  const bool has_token = !config.tokens.empty();
  slots_->set(slot, std::move(config));
  states_[slot] = {.assigned = true, .has_token = has_token};
}

void Engine::release() {
  if (!backend_) return;
  backend_->enter_thread();
  drafter_.reset();
  decoder_.reset();
  slots_.reset();
  backend_.reset();
}

void Engine::submit(Step& step) {
  if (!decoder_) fail("INVALID_ARGUMENT", "the engine is not loaded");
  std::vector<Batch> passes = check(step.batch, config_, step.logit_rows);
  check_slots(step.batch);
  note_outputs(step.batch);  // even if it fails: the step after it, which counts on its tokens, may have other rows
  step.result.reset(step.batch.output_count(), size_t(step.logit_rows) * config_.spec.vocab_size);
  for (Batch& pass : passes) step.drafts.push_back({std::move(pass), {}});
  launch([&] {
    for (DraftPass& pass : step.drafts) step.recorded |= draft(pass);
    step.inputs = &slots_->begin_step(step.batch);
    step.recorded |= backend_->replay(ReplayPart::kForward, *step.inputs, [&] { decoder_->forward(*step.inputs, cancelled_); });
  });
}

void Engine::sample(Step& step) {
  launch([&] {
    step.recorded |= sample_outputs(*decoder_, ReplayPart::kFirstLogits, *step.inputs, step.result);
    step.event = backend_->record();
  });
}

void Engine::wait(Event event) {
  backend_->enter_thread();
  backend_->wait(event);
}

// Its tokens go from slot to slot: no result is waited for between the passes, nor before the step that checks them. Returns whether
// something was recorded, as sample_outputs().
bool Engine::draft(DraftPass& pass) {
  pass.result.reset(pass.batch.output_count(), 0);
  const StepInputs& inputs = slots_->begin_step(pass.batch);
  const bool recorded = backend_->replay(ReplayPart::kDraft + ReplayPart::kForward, inputs, [&] { drafter_->forward(inputs, cancelled_); });
  return sample_outputs(*drafter_, ReplayPart::kDraft + ReplayPart::kFirstLogits, inputs, pass.result) || recorded;
}

bool Engine::sample_outputs(Decoder& decoder, int first_part, const StepInputs& inputs, StepResult& result) {
  const int most = decoder.logit_rows();
  bool recorded = false;
  for (int first = 0; first < inputs.outputs; first += most) {
    if (cancelled_) fail("CLOSED", "the engine was closed");
    const int count = std::min(most, inputs.outputs - first);
    recorded |= backend_->replay(first_part + first / most, inputs, [&] { decoder.compute_logits(inputs, first, count); });
    slots_->sample({&inputs, decoder.logits(), first, count, &result});
  }
  return recorded;
}

void Engine::choose(PendingChoice& choice) {
  if (cancelled_) fail("CLOSED", "the engine was closed");
  SlotState& state = states_.at(choice.slot);
  if (!state.has_logits) fail("INVALID_ARGUMENT", "slot %d waits for no choice", choice.slot);
  choice.result.reset(1, 0);
  launch([&] {
    slots_->choose({choice.slot, std::move(choice.logits), &choice.result});
    choice.event = backend_->record();
  });
  state.has_logits = false;
  state.has_token = true;
}

// What a launch that fails half way has put under way refers to the caller's results: it is waited for before they may go.
template <class Launch>
void Engine::launch(const Launch& launch) {
  backend_->enter_thread();
  try {
    launch();
  } catch (...) {
    backend_->abandon();
    throw;
  }
}

void Engine::check_slots(const Batch& batch) const {
  for (int row = 0; row < batch.row_count; ++row) {
    const int slot = batch.slots[row];
    if (!states_[slot].assigned) fail("INVALID_ARGUMENT", "row %d: slot %d belongs to no sequence", row, slot);
    const auto begin = batch.tokens.begin() + batch.q_indptr[row], end = batch.tokens.begin() + batch.q_indptr[row + 1];
    if (!states_[slot].has_token && std::find(begin, end, -1) != end) {
      fail("INVALID_ARGUMENT", "row %d: slot %d has sampled no token", row, slot);
    }
  }
}

void Engine::note_outputs(const Batch& batch) {
  for (int row = 0; row < batch.row_count; ++row) {
    SlotState& state = states_[batch.slots[row]];
    state.has_token |= batch.kinds[row] == int32_t(RowOutput::Sample);
    state.has_logits |= batch.kinds[row] == int32_t(RowOutput::Logits);
  }
}

}  // namespace kvasir
