#pragma once
// The slots of a device. Logits come to the host, where the CPU's sampler chooses; the last tokens go back before the next step begins, all
// in the order of the stream: the host waits for nothing.
#include "cpu/slots.h"
#include "cuda/runtime.h"
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
  // On the driver's thread: the host's sampler has set the slot's last token.
  void note_last_token(int slot) { host_last_tokens_.data()[slot] = slots_.last_token(slot); }
  // After the host has sampled: each slot's last token goes to the device.
  void send_last_tokens();

  const SlotLimits limits_;
  PaddedSteps steps_;
  Stream& stream_;
  cpu::Threads threads_;
  cpu::CpuSlots slots_;  // on the driver's thread, in stream order
  DeviceBuffer arrays_, last_tokens_;
  Pinned<int32_t> host_last_tokens_;  // [slots]
  Pinned<float> host_logits_;         // [logit_rows, V]
  // The step that is being sampled, with tokens in place of -1; on the driver's thread.
  std::vector<int32_t> host_arrays_;
  std::vector<PageTables> host_tables_;
  StepInputs host_step_{};
};

}  // namespace kvasir::cuda
