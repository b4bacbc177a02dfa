#pragma once
// One model on one device: load, then step after step. Its owner calls it on one thread, but for wait() and cancel().
//
// A step has three parts, so that the next can be launched before the results of this one are there:
//   submit()  checks it and launches the forward pass      sample()  launches logits and sampling      wait()  waits for the results
// On a back end that computes at once everything has run when submit() and sample() return.
#include <atomic>
#include <memory>
#include <vector>

#include "engine/config.h"
#include "model/decoder.h"

namespace kvasir {

// A pass of the draft model before a step. Its tokens stay in the slots; the result is nobody's.
struct DraftPass {
  Batch batch;
  StepResult result;
};

// What is under way. It stays where it is from submit() until wait() returns.
struct Step {
  Batch batch;
  std::vector<DraftPass> drafts;
  StepResult result;
  int logit_rows = 0;  // rows of logits that the result has
  const StepInputs* inputs = nullptr;
  Event event = 0;
  bool recorded = false;  // the back end has recorded something for it: its time tells nothing of another step's
};

// A token that is to be chosen from logits that a processor changed.
struct PendingChoice {
  int slot = 0;
  std::vector<float> logits;  // [V]
  StepResult result;          // of one output
  Event event = 0;
};

class Engine {
 public:
  // Throws INVALID_ARGUMENT, what the factory throws, and UNSUPPORTED_MODEL for what the back end's kernels don't take.
  Engine(EngineConfig config, BackendFactory create_backend);
  ~Engine() { release(); }

  void load(const Progress& progress);
  // A slot that could not be set belongs to no sequence, and steps refuse it.
  void set_slot(int slot, SlotConfig config);

  // Throw before anything ran where the batch is wrong, and CLOSED. What fails later leaves nothing under way: its rows computed nothing
  // usable, other sequences are as they were.
  void submit(Step& step);
  void sample(Step& step);  // before the next submit()
  void choose(PendingChoice& choice);

  // From any thread. Throw what failed on the device.
  void wait(Event event);
  bool done(Event event) const { return backend_->done(event); }

  // Frees weights, cache and threads, on any thread: only cancel() may follow.
  void release();

  // From any thread: what runs ends at the next layer or the next piece of a file, with CLOSED.
  void cancel() { cancelled_ = true; }

  const EngineConfig& config() const { return config_; }
  std::string processor() const { return backend_->processor(); }
  size_t weight_bytes() const { return decoder_->weight_bytes() + (drafter_ ? drafter_->weight_bytes() : 0); }
  size_t cache_bytes() const { return decoder_->cache_bytes() + (drafter_ ? drafter_->cache_bytes() : 0); }

 private:
  // What is known of a slot without asking the device.
  struct SlotState {
    bool assigned = false;    // to a sequence
    bool has_token = false;   // that a token of -1 may stand for
    bool has_logits = false;  // that a processor may choose from
  };
  std::unique_ptr<Decoder> load_decoder(const ModelConfig& config, const Progress& progress);
  bool draft(DraftPass& pass);
  bool sample_outputs(Decoder& decoder, int first_part, const StepInputs& inputs, StepResult& result);
  void check_slots(const Batch& batch) const;
  void note_outputs(const Batch& batch);
  template <class Launch>
  void launch(const Launch& launch);

  const EngineConfig config_;
  std::atomic<bool> cancelled_ = false;
  std::vector<SlotState> states_;
  // Destroyed in reverse: what lives in the back end's memory before the back end.
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Slots> slots_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<Decoder> drafter_;  // null without a draft model
};

}  // namespace kvasir
