#include "cpu/slots.h"

#include <algorithm>
#include <utility>

namespace kvasir::cpu {
namespace {

// Where the results of an output go.
void set_results(SampleRow& row, StepResult& result, int output) {
  row.token = &result.sampled[output];
  row.logprob = &result.logprobs[output];
  row.top_tokens = &result.top_tokens[size_t(output) * kMaxTopLogprobs];
  row.top_logprobs = &result.top_logprobs[size_t(output) * kMaxTopLogprobs];
}

// A row from whose logits, which are adjusted, a token is chosen.
SampleRow chosen_row(const Slot& slot, float* logits, StepResult& result, int output) {
  SampleRow row = slot.row();
  set_results(row, result, output);
  row.logits = logits;
  row.want_adjust = true;
  row.want_choose = true;
  return row;
}

}  // namespace

Slot::Slot(SlotConfig config) : config_(std::move(config)) {
  const SampleParams& params = config_.params;
  counts_ = params.repetition_penalty != 1 || params.presence_penalty != 0 || params.frequency_penalty != 0;
  for (size_t i = 0; i < config_.tokens.size(); ++i) {
    const bool output = i >= static_cast<size_t>(config_.prompt_length);
    if (counts_) count(config_.tokens[i], output ? 1 : 0);
    if (output) place_ += 1;
  }
  if (!config_.tokens.empty()) last_token_ = config_.tokens.back();
  config_.tokens = {};
}

SampleRow Slot::row() const {
  SampleRow row{};
  row.params = &config_.params;
  row.seen = seen_;
  row.biases = config_.biases;
  if (place_ < static_cast<uint64_t>(config_.min_tokens)) row.banned = config_.end_tokens;
  row.seed = config_.seed;
  row.place = place_;
  return row;
}

void Slot::accept(int32_t token) {
  last_token_ = token;
  place_ += 1;
  if (counts_) count(token, 1);
}

void Slot::accept_draft(int32_t token) {
  if (!std::exchange(drafting_, true)) {
    drafts_.clear();
    kept_last_token_ = last_token_;
    kept_seen_ = seen_.size();
  }
  drafts_.push_back(token);
  accept(token);
}

void Slot::end_drafts() {
  if (!std::exchange(drafting_, false)) return;
  last_token_ = kept_last_token_;
  place_ -= drafts_.size();
  if (!counts_) return;
  for (int32_t token : drafts_) seen_[index_.at(token)].output_count -= 1;
  for (; seen_.size() > kept_seen_; seen_.pop_back()) index_.erase(seen_.back().token);
}

void Slot::count(int32_t token, int output) {
  auto [entry, added] = index_.try_emplace(token, seen_.size());
  if (added) seen_.push_back({token, 0});
  seen_[entry->second].output_count += output;
}

CpuSlots::CpuSlots(const SlotLimits& limits, Threads& threads, const SamplePasses& passes)
    : threads_(threads),
      passes_(passes),
      vocab_(limits.vocab),
      draft_vocab_(limits.draft_vocab),
      groups_(limits.step.groups),
      slots_(limits.slots),
      workspaces_(threads.count()),
      tables_(limits.step.groups) {}

void CpuSlots::set(int slot, SlotConfig config) {
  slots_[slot] = Slot();  // what cannot be set is empty, never another sequence's
  slots_[slot] = Slot(std::move(config));
}

const StepInputs& CpuSlots::begin_step(const Batch& batch) {
  const StepSizes sizes = sizes_of(batch, groups_);
  const StepLayout layout(sizes);
  arrays_.resize(static_cast<size_t>(layout.elements()));
  layout.write(batch, sizes, arrays_.data());
  inputs_ = layout.inputs(sizes, arrays_.data(), tables_);
  put_last_tokens(inputs_);
  return inputs_;
}

void CpuSlots::put_last_tokens(const StepInputs& step) {
  for (int row = 0; row < step.rows; ++row) {
    const int begin = step.q_indptr[row], end = step.q_indptr[row + 1];
    if (begin == end) continue;  // padding
    Slot& slot = slots_[step.slots[row]];
    const bool draft = static_cast<RowOutput>(step.kinds[row]) == RowOutput::Draft;
    if (!draft) slot.end_drafts();
    for (int t = begin; t < end; ++t) {
      int32_t& token = const_cast<int32_t&>(step.token_ids[t]);  // whoever calls owns the arrays
      if (token < 0) token = token == -1 ? slot.last_token() : slot.draft(static_cast<size_t>(-2 - token));
      if (draft && token >= draft_vocab_) token = 0;
    }
  }
}

// In parallel by rows: a row's outputs depend on each other.
void CpuSlots::sample(const Sample& op) {
  reserve(op);
  const int32_t* rows = op.step->out_rows;
  std::vector<int> begins;  // of each row's outputs
  for (int o = op.first; o < op.first + op.count; ++o) {
    if (rows[o] >= 0 && (o == op.first || rows[o] != rows[o - 1])) begins.push_back(o);
  }
  threads_.parallel(static_cast<int64_t>(begins.size()), [&](int64_t i, int worker) {
    const int end = std::min(op.step->out_indptr[rows[begins[i]] + 1], op.first + op.count);
    for (int o = begins[i]; o < end; ++o) sample_output(op, o, workspaces_[worker]);
  });
}

void CpuSlots::choose(Choose choice) {
  Slot& slot = slots_[choice.slot];
  if (slot.raw_logits.empty()) return;
  SampleWorkspace& workspace = workspaces_[0];
  workspace.reserve(vocab_, slot.changes(), slot.typical());
  double log_sum = 0;
  SampleRow raw{}, chosen = slot.row();
  set_results(raw, *choice.result, 0);
  raw.logits = slot.raw_logits.data();
  raw.want_logprobs = true;
  raw.top = std::max(0, slot.top());
  raw.log_sum = &log_sum;
  sample_row(raw, vocab_, passes_, workspace);
  chosen.logits = choice.logits.data();
  const int32_t token = *raw.token == kNotNumbers ? kNotNumbers : choose_token(chosen, vocab_, passes_, workspace);
  choice.result->sampled[0] = token;
  if (token >= 0) {
    choice.result->logprobs[0] = static_cast<float>(slot.raw_logits[token] - log_sum);
    slot.accept(token);
  }
  slot.raw_logits.clear();
}

// All that the outputs allocate, since their tasks must not throw: workspaces, and the logits that processors need again.
void CpuSlots::reserve(const Sample& op) {
  size_t changes = 0;
  bool typical = false;
  for (int o = op.first; o < op.first + op.count; ++o) {
    const int row = op.step->out_rows[o];
    if (row < 0) continue;
    Slot& slot = slots_[op.step->slots[row]];
    changes = std::max(changes, slot.changes());
    typical |= slot.typical();
    if (static_cast<RowOutput>(op.step->kinds[row]) == RowOutput::Logits) slot.raw_logits.resize(static_cast<size_t>(vocab_));
  }
  for (SampleWorkspace& workspace : workspaces_) workspace.reserve(vocab_, changes, typical);
}

void CpuSlots::sample_output(const Sample& op, int output, SampleWorkspace& workspace) {
  const StepInputs& step = *op.step;
  const int row = step.out_rows[output];
  Slot& slot = slots_[step.slots[row]];
  float* logits = static_cast<float*>(op.logits.data) + (output - op.first) * op.logits.stride;
  switch (static_cast<RowOutput>(step.kinds[row])) {
    case RowOutput::Sample:
      // What stands before it was a guess: it counts if that was the token that was sampled.
      if (output > step.out_indptr[row] && op.result->sampled[output - 1] != step.token_ids[step.out_tokens[output]]) return;
      return sample_token(*op.result, output, slot, logits, workspace);
    case RowOutput::Draft:
      return sample_draft(*op.result, output, slot, logits, workspace);
    case RowOutput::Logits:
      return keep_logits(*op.result, output, step.logit_rows[row], slot, logits, workspace);
    case RowOutput::Score:
      return score(op, output, logits, workspace);
    case RowOutput::None:
      return;
  }
}

void CpuSlots::sample_token(StepResult& result, int output, Slot& slot, float* logits, SampleWorkspace& workspace) {
  SampleRow row = chosen_row(slot, logits, result, output);
  row.want_logprobs = slot.top() >= 0;
  row.top = std::max(0, slot.top());
  sample_row(row, vocab_, passes_, workspace);
  if (*row.token >= 0) slot.accept(*row.token);
}

// Without log-probabilities. Where no logit is finite any token will do: it is wrong.
void CpuSlots::sample_draft(StepResult& result, int output, Slot& slot, float* logits, SampleWorkspace& workspace) {
  SampleRow row = chosen_row(slot, logits, result, output);
  sample_row(row, std::min(vocab_, draft_vocab_), passes_, workspace);
  slot.accept_draft(std::max(0, *row.token));
}

void CpuSlots::keep_logits(StepResult& result, int output, int logit_row, Slot& slot, float* logits, SampleWorkspace& workspace) {
  std::copy_n(logits, vocab_, slot.raw_logits.begin());
  SampleRow row = slot.row();
  set_results(row, result, output);
  row.logits = logits;
  row.want_adjust = true;
  sample_row(row, vocab_, passes_, workspace);
  std::copy_n(logits, vocab_, result.logits.begin() + int64_t(logit_row) * vocab_);
}

// The log-probability of the token that follows, and the raw logits where they are wanted.
void CpuSlots::score(const Sample& op, int output, float* logits, SampleWorkspace& workspace) {
  const StepInputs& step = *op.step;
  const int row = step.out_rows[output], token = step.out_tokens[output];
  const int32_t next = token + 1 < step.q_indptr[row + 1] ? step.token_ids[token + 1] : step.next_tokens[row];
  double log_sum = 0;
  SampleRow sample{};
  set_results(sample, *op.result, output);
  sample.logits = logits;
  sample.want_logprobs = true;
  sample.log_sum = &log_sum;
  sample_row(sample, vocab_, passes_, workspace);
  if (next >= 0 && *sample.token != kNotNumbers) op.result->logprobs[output] = static_cast<float>(logits[next] - log_sum);
  if (step.logit_rows[row] < 0) return;
  const int64_t place = step.logit_rows[row] + output - step.out_indptr[row];
  std::copy_n(logits, vocab_, op.result->logits.begin() + place * vocab_);
}

}  // namespace kvasir::cpu
