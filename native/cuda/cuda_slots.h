#pragma once
// The slots of a device. Their state lives there and kernels sample: of an ordinary step, its inputs go up and what outputs gave comes
// down, both through pinned memory, and the host waits for nothing. Logits come to the host only for rows that ask for them.
#include "cuda/kernels/sample.h"
#include "cuda/pinned_pool.h"
#include "cuda/stream.h"
#include "ops/padded_steps.h"

namespace kvasir::cuda {

class CudaSlots : public Slots {
 public:
  // Steps of at most so many tokens are padded, so that few graphs serve them all; of larger ones a launch costs nothing beside the work.
  static constexpr int kMostPadded = 256;

  // `stream` outlives the slots.
  CudaSlots(const SlotLimits& limits, Stream& stream, int logit_rows);
  ~CudaSlots() override;

  void set(int slot, SlotConfig config) override;
  const StepInputs& begin_step(const Batch& batch) override;
  void sample(const Sample& op) override;
  void choose(Choose choice) override;

 private:
  // What a slot has in the device's memory beside its state, each from when it is first needed.
  struct Arrays {
    std::unique_ptr<DeviceBuffer> lists;  // biases, end tokens, seen tokens
    size_t list_bytes = 0;
    std::unique_ptr<DeviceBuffer> counts;      // [V] int32
    std::unique_ptr<DeviceBuffer> raw_logits;  // [V] float
    bool has_logits = false;                   // of a step, for a processor to choose from
  };

  SlotState* state(int slot) const { return static_cast<SlotState*>(states_.address()) + slot; }
  void upload(void* to, const PinnedPool::Piece& piece, size_t offset, size_t bytes, const char* what);
  void reserve_logits();
  void keep_logits(const Sample& op);
  void send_logits(const Sample& op);
  void deliver_later(const Sample& op);

  const SlotLimits limits_;
  PaddedSteps steps_;
  Stream& stream_;
  PinnedPool pinned_;
  SampleTeams teams_;
  DeviceBuffer arrays_;        // where the step's results go, then its arrays
  DeviceBuffer states_;        // [slots] SlotState
  DeviceBuffer drafted_;       // [slots, most drafts] DraftedToken
  DeviceBuffer changed_;       // [V] logits that a processor changed
  Pinned<float> host_logits_;  // [logit_rows, V]
  std::vector<Arrays> slots_;
  // The step that was begun last: in host memory, but for tokens of -1.
  PinnedPool::Piece piece_, results_;
  std::vector<PageTables> host_tables_;
  StepInputs host_step_{};
};

}  // namespace kvasir::cuda
