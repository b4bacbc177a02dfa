#pragma once
// The slots of a GPU in host memory, sampled by the GPU's stages on threads of the host.
#include "cuda/slot_setup.h"
#include "ops/padded_steps.h"
#include "testing/host_team.h"

namespace kvasir::testing {

class TeamSlots : public Slots {
 public:
  TeamSlots(const SlotLimits& limits, int blocks, int threads);

  void set(int slot, SlotConfig config) override;
  const StepInputs& begin_step(const Batch& batch) override;
  void sample(const Sample& op) override;
  void choose(Choose choice) override;

 private:
  struct Arrays {
    cuda::SlotSetup setup;
    std::vector<int32_t> counts;
    std::vector<float> raw;
  };

  const int vocab_;
  PaddedSteps steps_;
  HostCrew crew_;
  std::vector<int32_t> memory_;
  std::vector<cuda::SampledOutput> results_;
  std::vector<cuda::SlotState> states_;
  std::vector<Arrays> arrays_;
};

// 1 for each token whose weight the stages leave; none where no logit is finite. temperature > 0.
void keep_by_team(std::span<const float> logits, const SampleParams& params, int blocks, int threads, std::span<uint8_t> kept);

}  // namespace kvasir::testing
