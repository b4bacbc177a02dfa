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
  return {config.max_slots, config.spec.vocab_size, {rows, tokens, tokens, groups, most_pages(config, rows)}};
}

}  // namespace

Engine::Engine(EngineConfig config, BackendFactory create_backend) : config_(std::move(config)), states_(config_.max_slots) {
  check(config_);
  backend_ = create_backend(config_.device);
}

void Engine::load(const Progress& progress) {
  if (decoder_) fail("INVALID_ARGUMENT", "the engine is loaded already");
  WeightSource weights(config_, *backend_, progress, cancelled_);
  auto decoder = std::make_unique<Decoder>(config_, *backend_, weights);
  slots_ = backend_->create_slots(limits_of(config_));
  backend_->wait(backend_->record());
  decoder_ = std::move(decoder);
}

void Engine::set_slot(int slot, SlotConfig config) {
  if (!decoder_) fail("INVALID_ARGUMENT", "the engine is not loaded");
  states_.at(slot) = {};
  const bool has_token = !config.tokens.empty();
  slots_->set(slot, std::move(config));
  states_[slot] = {.assigned = true, .has_token = has_token};
}

void Engine::release() {
  decoder_.reset();
  slots_.reset();
  backend_.reset();
}

void Engine::submit(Step& step) {
  if (!decoder_) fail("INVALID_ARGUMENT", "the engine is not loaded");
  check(step.batch, config_, step.logit_rows);
  check_slots(step.batch);
  note_outputs(step.batch);  // even if it fails: the step after it, which counts on its tokens, may have other rows
  step.result.reset(step.batch.output_count(), size_t(step.logit_rows) * config_.spec.vocab_size);
  launch([&] {
    step.inputs = &slots_->begin_step(step.batch);
    backend_->replay(0, *step.inputs, [&] { decoder_->forward(*step.inputs, cancelled_); });
  });
}

void Engine::sample(Step& step) {
  const StepInputs& inputs = *step.inputs;
  launch([&] {
    const int most = backend_->activations(config_.compute).logit_rows;
    for (int first = 0; first < inputs.outputs; first += most) {
      if (cancelled_) fail("CLOSED", "the engine was closed");
      const int count = std::min(most, inputs.outputs - first);
      backend_->replay(1 + first / most, inputs, [&] { decoder_->compute_logits(inputs, first, count); });
      slots_->sample({&inputs, decoder_->logits(), first, count, &step.result});
    }
  });
  step.event = backend_->record();
}

void Engine::choose(PendingChoice& choice) {
  if (cancelled_) fail("CLOSED", "the engine was closed");
  SlotState& state = states_.at(choice.slot);
  if (!state.has_logits) fail("INVALID_ARGUMENT", "slot %d waits for no choice", choice.slot);
  choice.result.reset(1, 0);
  launch([&] { slots_->choose({choice.slot, std::move(choice.logits), &choice.result}); });
  choice.event = backend_->record();
  state.has_logits = false;
  state.has_token = true;
}

// What a launch that fails half way has put under way refers to the caller's results: it is waited for before they may go.
template <class Launch>
void Engine::launch(const Launch& launch) {
  try {
    launch();
  } catch (...) {
    try {
      backend_->wait(backend_->record());
    } catch (...) {
      // The first failure is the one to tell.
    }
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
