#include "cuda/cuda_slots.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <thread>
#include <tuple>

namespace kvasir::cuda {
namespace {

// Steps of at most so many tokens are padded to powers of two, so that few graphs serve them all.
constexpr int kMostPadded = 256;

int padded(int size, int capacity) {
  if (size > kMostPadded) return size;
  return std::min(static_cast<int>(std::bit_ceil(static_cast<unsigned>(size))), capacity);
}

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
      layout_(limits.step),
      stream_(stream),
      threads_(sampling_threads()),
      slots_(limits, threads_),
      arrays_(static_cast<size_t>(layout_.elements()) * sizeof(int32_t)),
      last_tokens_(size_t(limits.slots) * sizeof(int32_t)),
      host_last_tokens_(limits.slots),
      host_logits_(size_t(logit_rows) * limits.vocab) {
  std::fill_n(host_last_tokens_.data(), limits.slots, 0);
}

CudaSlots::~CudaSlots() {
  cudaStreamSynchronize(stream_.get());  // work of the host refers to these
}

void CudaSlots::set(int slot, SlotConfig config) {
  stream_.host([this, slot, config = std::make_shared<SlotConfig>(std::move(config))] {
    slots_.set(slot, std::move(*config));
    host_last_tokens_.data()[slot] = slots_.last_token(slot);
  });
  send_last_tokens();
}

CudaSlots::Bucket& CudaSlots::bucket_of(const StepSizes& sizes) {
  auto [entry, added] = buckets_.try_emplace({sizes.rows, sizes.tokens, sizes.outputs});
  Bucket& bucket = entry->second;
  if (added) {
    bucket.tables.resize(sizes.groups);
    bucket.host_tables.resize(sizes.groups);
    bucket.device = layout_.inputs(sizes, static_cast<int32_t*>(arrays_.address()), bucket.tables);
  }
  return bucket;
}

const StepInputs& CudaSlots::begin_step(const Batch& batch) {
  StepSizes sizes = sizes_of(batch, limits_.step.groups);
  sizes.rows = padded(sizes.rows, limits_.step.rows);
  sizes.tokens = padded(sizes.tokens, limits_.step.tokens);
  sizes.outputs = padded(sizes.outputs, limits_.step.outputs);
  Bucket& bucket = bucket_of(sizes);
  // Pageable memory is staged by the driver before the call returns; the piece that the host's sampler reads lives on in the stream.
  const size_t used = static_cast<size_t>(layout_.elements() - limits_.step.pages + sizes.pages);
  auto staged = std::make_shared<std::vector<int32_t>>(used);
  layout_.write(batch, sizes, staged->data());
  check(cudaMemcpyAsync(arrays_.address(), staged->data(), used * sizeof(int32_t), cudaMemcpyHostToDevice, stream_.get()),
        "a step's inputs");
  const StepInputs& device = bucket.device;
  put_last_tokens<<<(sizes.tokens + 255) / 256, 256, 0, stream_.get()>>>(const_cast<int32_t*>(device.token_ids), device.row_of_token,
                                                                         device.slots, static_cast<const int32_t*>(last_tokens_.address()),
                                                                         sizes.tokens);
  check(cudaGetLastError(), "put_last_tokens");
  stream_.host([this, staged, sizes, &bucket] {
    host_arrays_ = std::move(*staged);
    bucket.host = layout_.inputs(sizes, host_arrays_.data(), bucket.host_tables);
    slots_.put_last_tokens(bucket.host);
  });
  return bucket.device;
}

void CudaSlots::sample(const Sample& op) {
  const size_t bytes = size_t(op.count) * limits_.vocab * sizeof(float);
  check(cudaMemcpyAsync(host_logits_.data(), op.logits.data, bytes, cudaMemcpyDeviceToHost, stream_.get()), "logits");
  stream_.host([this, op] {
    Sample sample = op;
    for (const auto& [sizes, bucket] : buckets_) {
      if (&bucket.device == op.step) sample.step = &bucket.host;
    }
    sample.logits = {host_logits_.data(), DType::F32, limits_.vocab};
    slots_.sample(sample);
    for (int b = 0; b < sample.step->rows; ++b) {
      const int slot = sample.step->slots[b];
      host_last_tokens_.data()[slot] = slots_.last_token(slot);
    }
  });
  send_last_tokens();
}

void CudaSlots::choose(Choice choice) {
  stream_.host([this, choice = std::make_shared<Choice>(std::move(choice))] {
    const int slot = choice->slot;
    slots_.choose(std::move(*choice));
    host_last_tokens_.data()[slot] = slots_.last_token(slot);
  });
  send_last_tokens();
}

void CudaSlots::send_last_tokens() {
  check(cudaMemcpyAsync(last_tokens_.address(), host_last_tokens_.data(), size_t(limits_.slots) * sizeof(int32_t), cudaMemcpyHostToDevice,
                        stream_.get()),
        "last tokens");
}

}  // namespace kvasir::cuda
