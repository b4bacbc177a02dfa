#include "cuda/cuda_slots.h"

#include <algorithm>
#include <cstring>
#include <thread>

namespace kvasir::cuda {
namespace {

__global__ void put_last_tokens(int32_t* token_ids, const int32_t* row_of_token, const int32_t* slots, const int32_t* last_tokens,
                                int tokens) {
  const int t = blockIdx.x * blockDim.x + threadIdx.x;
  if (t < tokens && token_ids[t] < 0) token_ids[t] = last_tokens[slots[row_of_token[t]]];
}

int sampling_threads() {
  return static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 8u));
}

}  // namespace

CudaSlots::CudaSlots(const SlotLimits& limits, Stream& stream, int logit_rows)
    : limits_(limits),
      steps_(limits.step, kMostPadded),
      stream_(stream),
      threads_(sampling_threads()),
      slots_(limits, threads_),
      arrays_(static_cast<size_t>(steps_.elements()) * sizeof(int32_t)),
      last_tokens_(size_t(limits.slots) * sizeof(int32_t)),
      host_last_tokens_(limits.slots),
      host_logits_(size_t(logit_rows) * limits.vocab),
      host_tables_(limits.step.groups) {
  std::fill_n(host_last_tokens_.data(), limits.slots, 0);
}

CudaSlots::~CudaSlots() {
  cudaStreamSynchronize(stream_.get());  // work of the host refers to these
}

void CudaSlots::set(int slot, SlotConfig config) {
  stream_.host([this, slot, config = std::make_shared<SlotConfig>(std::move(config))] {
    slots_.set(slot, std::move(*config));
    note_last_token(slot);
  });
  send_last_tokens();
}

const StepInputs& CudaSlots::begin_step(const Batch& batch) {
  const StepSizes sizes = steps_.sizes_for(batch);
  const StepInputs& step = steps_.inputs(sizes, static_cast<int32_t*>(arrays_.address()));
  // Pageable memory is staged by the driver before the call returns; the piece lives on for the host's sampler.
  const size_t used = static_cast<size_t>(steps_.used(sizes));
  auto staged = std::make_shared<std::vector<int32_t>>(used);
  steps_.write(batch, sizes, staged->data());
  check(cudaMemcpyAsync(arrays_.address(), staged->data(), used * sizeof(int32_t), cudaMemcpyHostToDevice, stream_.get()),
        "a step's inputs");
  put_last_tokens<<<(sizes.tokens + 255) / 256, 256, 0, stream_.get()>>>(const_cast<int32_t*>(step.token_ids), step.row_of_token,
                                                                         step.slots, static_cast<const int32_t*>(last_tokens_.address()),
                                                                         sizes.tokens);
  check_launch("put_last_tokens");
  stream_.host([this, staged, sizes] {
    host_arrays_ = std::move(*staged);
    host_step_ = steps_.view(sizes, host_arrays_.data(), host_tables_);
    slots_.put_last_tokens(host_step_);
  });
  return step;
}

void CudaSlots::sample(const Sample& op) {
  const size_t bytes = size_t(op.count) * limits_.vocab * sizeof(float);
  check(cudaMemcpyAsync(host_logits_.data(), op.logits.data, bytes, cudaMemcpyDeviceToHost, stream_.get()), "logits");
  stream_.host([this, op] {
    Sample sample = op;
    sample.step = &host_step_;
    sample.logits = {host_logits_.data(), DType::F32, limits_.vocab};
    slots_.sample(sample);
    for (int b = 0; b < host_step_.rows; ++b) note_last_token(host_step_.slots[b]);
  });
  send_last_tokens();
}

void CudaSlots::choose(Choose choice) {
  stream_.host([this, choice = std::make_shared<Choose>(std::move(choice))] {
    const int slot = choice->slot;
    slots_.choose(std::move(*choice));
    note_last_token(slot);
  });
  send_last_tokens();
}

void CudaSlots::send_last_tokens() {
  check(cudaMemcpyAsync(last_tokens_.address(), host_last_tokens_.data(), size_t(limits_.slots) * sizeof(int32_t), cudaMemcpyHostToDevice,
                        stream_.get()),
        "last tokens");
}

}  // namespace kvasir::cuda
