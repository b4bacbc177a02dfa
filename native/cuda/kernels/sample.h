#pragma once
// The launches of sampling: one for the outputs of an op `sample`, whatever they ask for. Nothing is allocated or waited for.
#include <cuda_runtime.h>

#include "cuda/kernels/sample_state.h"
#include "cuda/runtime.h"

namespace kvasir::cuda {

// Teams of blocks, with their memory. How many blocks a row has depends on V and the device alone, and with it the order of its sums.
class SampleTeams {
 public:
  // For up to `rows` rows at a time.
  SampleTeams(int vocab, int rows);

  void sample(const SampleJob& job, cudaStream_t stream) const;
  void choose(const ChoiceJob& job, cudaStream_t stream) const;

 private:
  int blocks_;  // of a team
  int teams_;
  DeviceBuffer memory_, values_, weights_;  // of each team: TeamMemory, [V] float, [V] uint64
};

// Each slot's last token in place of -1, its drafts in place of smaller numbers; 0 for what a draft model of `draft_vocab` tokens lacks.
void put_last_tokens(const StepInputs& step, SlotState* slots, int draft_vocab, cudaStream_t stream);

// Into a slot's counts, which are zero.
void count_tokens(const SeenToken* seen, int count, int32_t* counts, cudaStream_t stream);

}  // namespace kvasir::cuda
