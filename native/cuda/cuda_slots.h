#pragma once
// The slots of a device. Logits come to the host, where the CPU's sampler chooses; the last tokens go back before the next step begins, all
// in the order of the stream: the host waits for nothing.
#include "cpu/slots.h"
#include "cuda/runtime.h"
#include "cuda/stream.h"

namespace kvasir::cuda {

class CudaSlots : public Slots {
 public:
  // `stream` outlives the slots.
  CudaSlots(const SlotLimits& limits, Stream& stream, int logit_rows);
  ~CudaSlots() override;

  void set(int slot, SlotConfig config) override;
  const StepInputs& begin_step(const Batch& batch) override;
  void sample(const Sample& op) override;
  void choose(Choice choice) override;

 private:
  // A step's inputs for one combination of sizes: on the device, and as the host's sampler sees them.
  struct Bucket {
    std::vector<PageTables> tables, host_tables;
    StepInputs device, host;
  };
  Bucket& bucket_of(const StepSizes& sizes);
  // After the host has sampled: each slot's last token goes to the device.
  void send_last_tokens();

  const SlotLimits limits_;
  const StepLayout layout_;
  Stream& stream_;
  cpu::Threads threads_;
  cpu::CpuSlots slots_;  // on the driver's thread, in stream order
  DeviceBuffer arrays_, last_tokens_;
  Pinned<int32_t> host_last_tokens_;  // [slots]
  Pinned<float> host_logits_;         // [logit_rows, V]
  std::vector<int32_t> host_arrays_;  // the step that is being sampled, tokens of -1 put in place
  std::map<std::tuple<int, int, int>, Bucket> buckets_;
};

}  // namespace kvasir::cuda
