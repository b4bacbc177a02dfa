#pragma once
// The slots in host memory: see ops/sample.h.
#include <unordered_map>

#include "cpu/sample.h"
#include "cpu/threads.h"
#include "ops/sample.h"

namespace kvasir::cpu {

// What one sequence's samples depend on.
class Slot {
 public:
  Slot() = default;
  explicit Slot(SlotConfig config);

  int32_t last_token() const { return last_token_; }
  int top() const { return config_.logprobs; }
  bool typical() const { return config_.params.typical_p < 1; }
  size_t changes() const { return seen_.size() + config_.biases.size() + config_.end_tokens.size(); }  // of a row's logits, at most
  // A row with this slot's state; the caller sets logits, stages and results.
  SampleRow row() const;
  // The token was sampled: it is counted and becomes the next step's input.
  void accept(int32_t token);
  // So was this one, but it is a guess: end_drafts() undoes what it changes, and that of all guesses since the last call.
  void accept_draft(int32_t token);
  void end_drafts();
  // The i-th guess; 0 where there were fewer.
  int32_t draft(size_t i) const { return i < drafts_.size() ? drafts_[i] : 0; }

  // Raw logits of a row that a processor has, for the log-probabilities of the token that it will choose. Empty otherwise.
  std::vector<float> raw_logits;

 private:
  void count(int32_t token, int output);

  SlotConfig config_;
  int32_t last_token_ = 0;
  uint64_t place_ = 0;  // output tokens so far: the place in the stream of random numbers
  bool counts_ = false;
  std::vector<TokenCount> seen_;
  std::unordered_map<int32_t, size_t> index_;  // token -> place in seen_
  std::vector<int32_t> drafts_;
  bool drafting_ = false;  // what follows is to be restored
  int32_t kept_last_token_ = 0;
  size_t kept_seen_ = 0;
};

class CpuSlots : public Slots {
 public:
  // `threads` and `passes` outlive the slots.
  CpuSlots(const SlotLimits& limits, Threads& threads, const SamplePasses& passes);

  void set(int slot, SlotConfig config) override;
  const StepInputs& begin_step(const Batch& batch) override;
  void sample(const Sample& op) override;
  void choose(Choose choice) override;

  // Each slot's last token in place of -1, those that were drafted in place of -2 and below; and one slot's last.
  void put_last_tokens(const StepInputs& step);
  int32_t last_token(int slot) const { return slots_[slot].last_token(); }

 private:
  void reserve(const Sample& op);
  void sample_output(const Sample& op, int output, SampleWorkspace& workspace);
  void sample_token(StepResult& result, int output, Slot& slot, float* logits, SampleWorkspace& workspace);
  void sample_draft(StepResult& result, int output, Slot& slot, float* logits, SampleWorkspace& workspace);
  void keep_logits(StepResult& result, int output, int logit_row, Slot& slot, float* logits, SampleWorkspace& workspace);
  void score(const Sample& op, int output, float* logits, SampleWorkspace& workspace);

  Threads& threads_;
  const SamplePasses& passes_;
  const int vocab_;
  const int draft_vocab_;
  const int groups_;
  std::vector<Slot> slots_;
  std::vector<SampleWorkspace> workspaces_;  // of each worker
  // The step.
  std::vector<int32_t> arrays_;
  std::vector<PageTables> tables_;
  StepInputs inputs_{};
};

}  // namespace kvasir::cpu
