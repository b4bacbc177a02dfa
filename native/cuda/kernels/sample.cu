// sample: see ops/sample.h; the stages are in sample_stages.h. A team of blocks has a row of V logits, each block a part of it, and
// waits for the others where a stage needs all: 1 exchange for the greedy token, 5 for a plain draw, some 15 for everything: a filter that
// leaves few candidates hands them to one block, which waits for nobody. Weights are computed once.
//
// Bytes a row: 4 V where it is greedy, 60 V for a draw, 12 V more for each pass of a filter, all but the first 4 V within L2. Operations:
// V exponentials in float64, V more for log-probabilities. Limited by latency for few rows, by float64 and L2 for many.
// Order of a sum of float64: thread i of a block sums the elements i mod kTeamThreads of its part, ascending, then lanes, warps and blocks
// pairwise.
#include "cuda/kernels/sample.h"

#include <algorithm>

#include "cuda/kernels/launch.h"
#include "cuda/kernels/sample_rows.h"
#include "cuda/kernels/sample_team.cuh"

namespace kvasir::cuda {
namespace {

constexpr int kPart = 4096;  // tokens of a block, where the device has room for that many blocks

struct Teams {
  TeamMemory* memory;
  float* values;
  uint64_t* weights;
  int blocks;
  int vocab;

  __device__ DeviceTeam team(TeamShared& shared) const {
    const int64_t index = blockIdx.x / blocks;
    return {shared, memory[index], values + index * vocab, weights + index * vocab, blocks, static_cast<int>(blockIdx.x % blocks)};
  }
};

__global__ void __launch_bounds__(kTeamThreads, 2) sample_rows(const __grid_constant__ SampleJob job, Teams teams) {
  __shared__ TeamShared shared;
  DeviceTeam team = teams.team(shared);
  sample_rows(team, job, blockIdx.x / teams.blocks, gridDim.x / teams.blocks);
  team.close();
}

__global__ void __launch_bounds__(kTeamThreads, 2) choose_row(const __grid_constant__ ChoiceJob job, Teams teams) {
  __shared__ TeamShared shared;
  DeviceTeam team = teams.team(shared);
  choose_row(team, job);
  team.close();
}

// One block a row.
__global__ void put_last_tokens(StepInputs step, SlotState* slots, int draft_vocab) {
  const int row = blockIdx.x, begin = step.q_indptr[row], end = step.q_indptr[row + 1];
  if (begin == end) return;  // padding
  SlotState& slot = slots[step.slots[row]];
  const bool draft = static_cast<RowOutput>(step.kinds[row]) == RowOutput::Draft;
  if (!draft && threadIdx.x == 0) end_drafts(slot);
  __syncthreads();
  for (int t = begin + static_cast<int>(threadIdx.x); t < end; t += static_cast<int>(blockDim.x)) {
    const int32_t token = token_of(slot, step.token_ids[t]);
    const_cast<int32_t*>(step.token_ids)[t] = draft && token >= draft_vocab ? 0 : token;
  }
}

__global__ void count_tokens(const SeenToken* seen, int count, int32_t* counts) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) counts[seen[i].token] = seen[i].outputs + 1;
}

// Blocks of either kernel that run at once.
int blocks_at_once() {
  void (*rows)(SampleJob, Teams) = sample_rows;
  void (*choice)(ChoiceJob, Teams) = choose_row;
  return std::min(resident_blocks(rows, kTeamThreads, 0), resident_blocks(choice, kTeamThreads, 0));
}

int blocks_of_row(int vocab) {
  return std::min({(vocab + kPart - 1) / kPart, kMostBlocks, blocks_at_once()});
}

template <class Job>
void launch(void (*kernel)(Job, Teams), Job job, Teams teams, int count, cudaStream_t stream) {
  void* args[] = {&job, &teams};
  check(cudaLaunchCooperativeKernel(reinterpret_cast<void*>(kernel), dim3(count * teams.blocks), dim3(kTeamThreads), args, 0, stream),
        "sample");
}

}  // namespace

SampleTeams::SampleTeams(int vocab, int rows)
    : blocks_(blocks_of_row(vocab)),
      teams_(std::clamp(blocks_at_once() / blocks_, 1, std::max(rows, 1))),
      memory_(teams_ * sizeof(TeamMemory)),
      values_(size_t(teams_) * vocab * sizeof(float)),
      weights_(size_t(teams_) * vocab * sizeof(uint64_t)) {}

void SampleTeams::sample(const SampleJob& job, cudaStream_t stream) const {
  const Teams teams{static_cast<TeamMemory*>(memory_.address()), static_cast<float*>(values_.address()),
                    static_cast<uint64_t*>(weights_.address()), blocks_, job.vocab};
  if (job.count > 0) launch<SampleJob>(sample_rows, job, teams, std::min(teams_, job.count), stream);
}

void SampleTeams::choose(const ChoiceJob& job, cudaStream_t stream) const {
  const Teams teams{static_cast<TeamMemory*>(memory_.address()), static_cast<float*>(values_.address()),
                    static_cast<uint64_t*>(weights_.address()), blocks_, job.vocab};
  launch<ChoiceJob>(choose_row, job, teams, 1, stream);
}

void put_last_tokens(const StepInputs& step, SlotState* slots, int draft_vocab, cudaStream_t stream) {
  put_last_tokens<<<step.rows, 128, 0, stream>>>(step, slots, draft_vocab);
  check_launch("put_last_tokens");
}

void count_tokens(const SeenToken* seen, int count, int32_t* counts, cudaStream_t stream) {
  if (count == 0) return;
  count_tokens<<<(count + 255) / 256, 256, 0, stream>>>(seen, count, counts);
  check_launch("count_tokens");
}

}  // namespace kvasir::cuda
