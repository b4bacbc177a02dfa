#pragma once
// One model on one device: load, then step after step. Not thread-safe but for cancel(): its owner runs it on one thread.
#include <atomic>
#include <memory>
#include <vector>

#include "engine/batch.h"
#include "engine/decoder.h"
#include "engine/slot.h"

namespace kvasir {

// A token that was chosen from logits which a processor changed; the C++ twin of SampledToken in lib/native.ts.
struct SampledToken {
  int32_t token = -1;
  float logprob = 0;
  std::vector<int32_t> top_tokens;
  std::vector<float> top_logprobs;
};

class Engine {
 public:
  // Throws INVALID_ARGUMENT, UNSUPPORTED_DEVICE.
  explicit Engine(EngineConfig config);

  void load(const Progress& progress);
  // A slot that could not be set belongs to no sequence, and steps refuse it.
  void set_slot(int slot, SlotConfig config);
  // Runs one step; throws before anything ran where the batch is wrong, and CLOSED.
  void step(const Batch& batch, StepResult& result);
  SampledToken sample(int slot, std::vector<float> logits);

  // Frees weights, cache and threads: only cancel() may follow.
  void release();

  // From any thread: what runs ends at the next layer or the next piece of a file, with CLOSED.
  void cancel() { cancelled_ = true; }

  const EngineConfig& config() const { return config_; }
  size_t weight_bytes() const { return decoder_->weight_bytes(); }
  size_t cache_bytes() const { return decoder_->cache_bytes(); }

 private:
  struct Output;  // one row of logits that a step has to make
  std::vector<int32_t> resolve_tokens(const Batch& batch) const;
  std::vector<Output> outputs_of(const Batch& batch) const;
  void finish(const Batch& batch, std::span<const Output> outputs, float* logits, StepResult& result);
  void keep_score(const Batch& batch, const Output& output, const float* logits, double log_sum, StepResult& result);

  const EngineConfig config_;
  std::atomic<bool> cancelled_ = false;
  // Destroyed in reverse: the decoder's weights and cache before the back end that owns their memory.
  std::unique_ptr<Backend> backend_;
  std::vector<Slot> slots_;
  std::unique_ptr<Decoder> decoder_;
};

}  // namespace kvasir
