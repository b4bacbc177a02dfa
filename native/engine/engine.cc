#include "engine/engine.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu/cpu_backend.h"
#include "tensor/status.h"

namespace kvasir {

struct Engine::Output {
  int row;    // of the batch
  int token;  // index in [0, T)
};

Engine::Engine(EngineConfig config) : config_(std::move(config)) {
  check(config_);
  backend_ = cpu::create_backend(config_.isa, config_.threads);
  slots_.resize(config_.max_slots);
}

void Engine::load(const Progress& progress) {
  if (decoder_) fail("INVALID_ARGUMENT", "the engine is loaded already");
  decoder_ = std::make_unique<Decoder>(config_, *backend_, load_weights(config_, *backend_, progress, cancelled_));
}

void Engine::set_slot(int slot, SlotConfig config) {
  slots_.at(slot) = Slot();
  slots_.at(slot) = Slot(std::move(config));
}

void Engine::release() {
  decoder_.reset();
  slots_.clear();
  backend_.reset();
}

void Engine::step(const Batch& batch, StepResult& result) {
  if (!decoder_) fail("INVALID_ARGUMENT", "the engine is not loaded");
  check(batch, config_);
  result.reset(batch.row_count);
  decoder_->forward(batch, resolve_tokens(batch), cancelled_);
  const std::vector<Output> outputs = outputs_of(batch);
  for (size_t first = 0; first < outputs.size(); first += Decoder::kLogitRows) {
    const std::span<const Output> slice(outputs.data() + first, std::min<size_t>(Decoder::kLogitRows, outputs.size() - first));
    std::vector<int32_t> tokens;
    for (const Output& output : slice) tokens.push_back(output.token);
    finish(batch, slice, decoder_->logits(tokens), result);
  }
}

std::vector<int32_t> Engine::resolve_tokens(const Batch& batch) const {
  std::vector<int32_t> tokens = batch.tokens;
  for (int row = 0; row < batch.row_count; ++row) {
    if (!slots_[batch.slots[row]].assigned()) fail("INVALID_ARGUMENT", "row %d: slot %d belongs to no sequence", row, batch.slots[row]);
    for (int i = batch.q_indptr[row]; i < batch.q_indptr[row + 1]; ++i) {
      if (tokens[i] >= 0) continue;
      tokens[i] = slots_[batch.slots[row]].last_token();
      if (tokens[i] < 0) fail("INVALID_ARGUMENT", "row %d: slot %d has sampled no token", row, batch.slots[row]);
    }
  }
  return tokens;
}

// Sample and logits rows need their last token's logits, score rows every token's.
std::vector<Engine::Output> Engine::outputs_of(const Batch& batch) const {
  std::vector<Output> outputs;
  for (int row = 0; row < batch.row_count; ++row) {
    const RowOutput output = static_cast<RowOutput>(batch.outputs[row]);
    if (output == RowOutput::None) continue;
    const int first = output == RowOutput::Score ? batch.q_indptr[row] : batch.q_indptr[row + 1] - 1;
    for (int token = first; token < batch.q_indptr[row + 1]; ++token) outputs.push_back({row, token});
  }
  return outputs;
}

// From logits [outputs, V] to tokens, scores and log-probabilities.
void Engine::finish(const Batch& batch, std::span<const Output> outputs, float* logits, StepResult& result) {
  const size_t vocab = static_cast<size_t>(config_.spec.vocab_size);
  std::vector<SampleRow> rows;
  std::vector<double> log_sums(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    const int row = outputs[i].row;
    const RowOutput kind = static_cast<RowOutput>(batch.outputs[row]);
    Slot& slot = slots_[batch.slots[row]];
    float* own = logits + i * vocab;
    if (kind == RowOutput::Logits) slot.raw_logits.assign(own, own + vocab);
    SampleRow& sample = rows.emplace_back(kind == RowOutput::Score ? SampleRow{} : slot.row());
    sample.logits = own;
    sample.want_logprobs = kind == RowOutput::Score || (kind == RowOutput::Sample && slot.top() >= 0);
    sample.want_adjust = kind != RowOutput::Score;
    sample.want_choose = kind == RowOutput::Sample;
    sample.top = kind == RowOutput::Sample ? std::max(0, slot.top()) : 0;
    sample.token = &result.sampled[row];
    sample.logprob = &result.logprobs[row];
    sample.top_tokens = &result.top_tokens[size_t(row) * kMaxTopLogprobs];
    sample.top_logprobs = &result.top_logprobs[size_t(row) * kMaxTopLogprobs];
    sample.log_sum = &log_sums[i];
  }
  backend_->sample({rows, config_.spec.vocab_size});
  for (size_t i = 0; i < outputs.size(); ++i) {
    const int row = outputs[i].row;
    const RowOutput kind = static_cast<RowOutput>(batch.outputs[row]);
    if (kind == RowOutput::Sample && result.sampled[row] >= 0) slots_[batch.slots[row]].accept(result.sampled[row]);
    if (kind == RowOutput::Logits) result.logits[row].assign(logits + i * vocab, logits + (i + 1) * vocab);
    if (kind == RowOutput::Score) keep_score(batch, outputs[i], logits + i * vocab, log_sums[i], result);
  }
}

// A score row's log-probability of the token that follows, and its raw logits where they are wanted.
void Engine::keep_score(const Batch& batch, const Output& output, const float* logits, double log_sum, StepResult& result) {
  const int row = output.row;
  const int last = batch.q_indptr[row + 1] - 1, begin = batch.q_indptr[row];
  const int32_t next = output.token == last ? batch.next_tokens[row] : batch.tokens[output.token + 1];
  std::vector<float>& scores = result.scores[row];
  scores.resize(last + 1 - begin);
  scores[output.token - begin] = next < 0 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(logits[next] - log_sum);
  if (batch.want_logits[row] != 0) {
    std::vector<float>& rows = result.logits[row];
    rows.insert(rows.end(), logits, logits + config_.spec.vocab_size);
  }
}

SampledToken Engine::sample(int slot_index, std::vector<float> logits) {
  if (cancelled_) fail("CLOSED", "the engine was closed");
  Slot& slot = slots_.at(slot_index);
  if (slot.raw_logits.size() != logits.size()) {
    fail("INVALID_ARGUMENT", "slot %d waits for no logits, or not for %zu of them", slot_index, logits.size());
  }
  SampledToken result;
  const int top = std::max(0, slot.top());
  result.top_tokens.resize(top);
  result.top_logprobs.resize(top);
  double log_sum = 0;
  SampleRow raw{}, chosen = slot.row();
  raw.logits = slot.raw_logits.data();
  raw.want_logprobs = true;
  raw.top = top;
  raw.top_tokens = result.top_tokens.data();
  raw.top_logprobs = result.top_logprobs.data();
  raw.log_sum = &log_sum;
  chosen.logits = logits.data();
  chosen.want_choose = true;
  chosen.token = &result.token;
  SampleRow rows[] = {raw, chosen};
  backend_->sample({rows, config_.spec.vocab_size});
  if (result.token >= 0) {
    result.logprob = static_cast<float>(slot.raw_logits[result.token] - log_sum);
    slot.accept(result.token);
  }
  slot.raw_logits.clear();
  return result;
}

}  // namespace kvasir
