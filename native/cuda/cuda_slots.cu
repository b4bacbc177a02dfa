#include "cuda/cuda_slots.h"

#include <cstring>

#include "cuda/slot_setup.h"

namespace kvasir::cuda {
namespace {

constexpr size_t kHeader = 64;  // bytes before a step's arrays: the address of its results

float* row_of(const Sample& op, int output) {
  return static_cast<float*>(op.logits.data) + (output - op.first) * op.logits.stride;
}

// The most that a slot may be asked to draft: no step checks more than it has tokens.
size_t drafts_of(const SlotLimits& limits) {
  return limits.draft_vocab > 0 ? static_cast<size_t>(limits.step.tokens) : 0;
}

template <class Element>
uint8_t* put(const std::vector<Element>& from, uint8_t* to) {
  return reinterpret_cast<uint8_t*>(std::copy(from.begin(), from.end(), reinterpret_cast<Element*>(to)));
}

}  // namespace

CudaSlots::CudaSlots(const SlotLimits& limits, Stream& stream, int logit_rows)
    : limits_(limits),
      steps_(limits.step, kMostPadded),
      stream_(stream),
      teams_(limits.vocab, logit_rows),
      arrays_(kHeader + static_cast<size_t>(steps_.elements()) * sizeof(int32_t)),
      states_(size_t(limits.slots) * sizeof(SlotState)),
      drafted_(size_t(limits.slots) * drafts_of(limits) * sizeof(DraftedToken)),
      changed_(size_t(limits.vocab) * sizeof(float)),
      host_logits_(size_t(logit_rows) * limits.vocab),
      slots_(limits.slots),
      host_tables_(limits.step.groups) {}

CudaSlots::~CudaSlots() {
  cudaStreamSynchronize(stream_.get());  // work that was launched refers to these
}

// The piece is held until the next event was waited for.
void CudaSlots::upload(void* to, const PinnedPool::Piece& piece, size_t offset, size_t bytes, const char* what) {
  if (bytes == 0) return;
  stream_.on_wait([piece] {});
  check(cudaMemcpyAsync(to, piece->data() + offset, bytes, cudaMemcpyHostToDevice, stream_.get()), what);
}

void CudaSlots::set(int slot, SlotConfig config) {
  SlotSetup setup = setup_of(std::move(config));
  Arrays& arrays = slots_[slot];
  arrays.has_logits = false;
  const size_t biases = setup.biases.size() * sizeof(TokenBias), ends = setup.end_tokens.size() * sizeof(int32_t);
  const size_t bytes = biases + ends + setup.seen.size() * sizeof(SeenToken);
  if (bytes > arrays.list_bytes) {
    check(cudaStreamSynchronize(stream_.get()), "a slot's lists");  // rows of its last sequence may still read the old ones
    arrays.list_bytes = 0;
    arrays.lists = std::make_unique<DeviceBuffer>(std::bit_ceil(bytes));
    arrays.list_bytes = std::bit_ceil(bytes);
  }
  if (setup.counts && !arrays.counts) arrays.counts = std::make_unique<DeviceBuffer>(size_t(limits_.vocab) * sizeof(int32_t));
  auto* lists = arrays.lists ? static_cast<uint8_t*>(arrays.lists->address()) : nullptr;
  setup.state.biases = reinterpret_cast<TokenBias*>(lists);
  setup.state.end_tokens = reinterpret_cast<int32_t*>(lists + biases);
  setup.state.drafted = static_cast<DraftedToken*>(drafted_.address()) + size_t(slot) * drafts_of(limits_);
  setup.state.counts = setup.counts ? static_cast<int32_t*>(arrays.counts->address()) : nullptr;
  const PinnedPool::Piece piece = pinned_.take(sizeof(SlotState) + bytes);
  std::memcpy(piece->data(), &setup.state, sizeof(SlotState));
  put(setup.seen, put(setup.end_tokens, put(setup.biases, piece->data() + sizeof(SlotState))));
  upload(state(slot), piece, 0, sizeof(SlotState), "a slot");
  upload(lists, piece, sizeof(SlotState), bytes, "a slot's lists");
  if (!setup.counts) return;
  check(cudaMemsetAsync(setup.state.counts, 0, size_t(limits_.vocab) * sizeof(int32_t), stream_.get()), "a slot's counts");
  count_tokens(reinterpret_cast<SeenToken*>(lists + biases + ends), static_cast<int>(setup.seen.size()), setup.state.counts, stream_.get());
}

const StepInputs& CudaSlots::begin_step(const Batch& batch) {
  const StepSizes sizes = steps_.sizes_for(batch);
  const StepInputs& step = steps_.inputs(sizes, reinterpret_cast<int32_t*>(static_cast<uint8_t*>(arrays_.address()) + kHeader));
  const size_t bytes = kHeader + static_cast<size_t>(steps_.used(sizes)) * sizeof(int32_t);
  piece_ = pinned_.take(bytes);
  results_ = pinned_.take(size_t(sizes.outputs) * sizeof(SampledOutput));
  const uint8_t* results = results_->data();
  std::memcpy(piece_->data(), &results, sizeof results);
  auto* host = reinterpret_cast<int32_t*>(piece_->data() + kHeader);
  steps_.write(batch, sizes, host);
  host_step_ = steps_.view(sizes, host, host_tables_);
  reserve_logits();
  upload(arrays_.address(), piece_, 0, bytes, "a step's inputs");
  put_last_tokens(step, state(0), limits_.draft_vocab, stream_.get());
  return step;
}

void CudaSlots::sample(const Sample& op) {
  if (op.count == 0) return;
  keep_logits(op);
  teams_.sample({.step = *op.step,
                 .first = op.first,
                 .count = op.count,
                 .vocab = limits_.vocab,
                 .draft_vocab = limits_.draft_vocab,
                 .logits = static_cast<float*>(op.logits.data),
                 .stride = op.logits.stride,
                 .slots = state(0),
                 .results = static_cast<SampledOutput* const*>(arrays_.address())},
                stream_.get());
  send_logits(op);
  deliver_later(op);
}

void CudaSlots::choose(Choose choice) {
  Arrays& arrays = slots_[choice.slot];
  if (!std::exchange(arrays.has_logits, false)) return;
  const size_t bytes = size_t(limits_.vocab) * sizeof(float), at = (bytes + 15) / 16 * 16;
  const PinnedPool::Piece piece = pinned_.take(at + sizeof(SampledOutput));
  std::memcpy(piece->data(), choice.logits.data(), bytes);
  upload(changed_.address(), piece, 0, bytes, "changed logits");
  auto* result = reinterpret_cast<SampledOutput*>(piece->data() + at);
  teams_.choose({.vocab = limits_.vocab,
                 .slot = state(choice.slot),
                 .raw = static_cast<const float*>(arrays.raw_logits->address()),
                 .changed = static_cast<const float*>(changed_.address()),
                 .result = result},
                stream_.get());
  stream_.on_wait([piece, result, to = choice.result] { deliver(*result, 0, *to); });
}

// Room for the raw logits that the step will keep.
void CudaSlots::reserve_logits() {
  for (int o = 0; o < host_step_.outputs; ++o) {
    if (!keeps_logits(host_step_, o)) continue;
    Arrays& arrays = slots_[host_step_.slots[host_step_.out_rows[o]]];
    if (!arrays.raw_logits) arrays.raw_logits = std::make_unique<DeviceBuffer>(size_t(limits_.vocab) * sizeof(float));
  }
}

void CudaSlots::keep_logits(const Sample& op) {
  for (int o = op.first; o < op.first + op.count; ++o) {
    if (!keeps_logits(host_step_, o)) continue;
    Arrays& arrays = slots_[host_step_.slots[host_step_.out_rows[o]]];
    check(cudaMemcpyAsync(arrays.raw_logits->address(), row_of(op, o), size_t(limits_.vocab) * sizeof(float), cudaMemcpyDeviceToDevice,
                          stream_.get()),
          "raw logits");
    arrays.has_logits = true;
  }
}

// Logits that the host wants: the next piece's come to the same memory, so they are taken from there in the order of the stream.
void CudaSlots::send_logits(const Sample& op) {
  const size_t vocab = limits_.vocab;
  std::vector<int64_t> rows;  // of the result
  for (int o = op.first; o < op.first + op.count; ++o) {
    const int64_t row = logit_row(host_step_, o);
    if (row < 0) continue;
    check(cudaMemcpyAsync(host_logits_.data() + rows.size() * vocab, row_of(op, o), vocab * sizeof(float), cudaMemcpyDeviceToHost,
                          stream_.get()),
          "logits");
    rows.push_back(row);
  }
  if (rows.empty()) return;
  stream_.host([this, vocab, rows = std::move(rows), result = op.result] {
    for (size_t i = 0; i < rows.size(); ++i) std::copy_n(host_logits_.data() + i * vocab, vocab, result->logits.begin() + rows[i] * vocab);
  });
}

void CudaSlots::deliver_later(const Sample& op) {
  stream_.on_wait([piece = piece_, results = results_, step = host_step_, first = op.first, end = op.first + op.count, to = op.result] {
    const auto* outputs = reinterpret_cast<const SampledOutput*>(results->data());
    for (int o = first; o < end; ++o) {
      if (step.out_rows[o] >= 0) deliver(outputs[o], o, *to);
    }
  });
}

}  // namespace kvasir::cuda
