#include "ops/step.h"

#include <algorithm>
#include <limits>

namespace kvasir {
namespace {

// `count` elements, then `fill` up to `padded`.
void put(const std::vector<int32_t>& from, int count, int padded, int32_t fill, int32_t* to) {
  std::copy_n(from.begin(), count, to);
  std::fill(to + count, to + padded, fill);
}

}  // namespace

StepSizes sizes_of(const Batch& batch, int groups) {
  bool is_long = false;
  for (int row = 0; row < batch.row_count; ++row) {
    is_long |= batch.starts[row] + batch.q_indptr[row + 1] - batch.q_indptr[row] > kShortContext;
  }
  return {batch.row_count, batch.token_count(), batch.output_count(), groups, static_cast<int64_t>(batch.kv_pages.size()), is_long};
}

StepLayout::StepLayout(const StepSizes& capacity) : end_(0) {
  const auto take = [this](int64_t count) {
    const int64_t place = end_;
    end_ += (count + 15) / 16 * 16;  // each array begins a cache line
    return place;
  };
  const int64_t B = capacity.rows, T = capacity.tokens, R = capacity.outputs, G = capacity.groups;
  token_ids_ = take(T);
  positions_ = take(T);
  row_of_token_ = take(T);
  slots_ = take(B);
  q_indptr_ = take(B + 1);
  starts_ = take(B);
  kinds_ = take(B);
  next_tokens_ = take(B);
  logit_rows_ = take(B);
  out_indptr_ = take(B + 1);
  out_tokens_ = take(R);
  out_rows_ = take(R);
  kv_indptr_ = take(G * (B + 1));
  kv_first_ = take(G * B);
  kv_pages_ = take(capacity.pages);
}

void StepLayout::write(const Batch& batch, const StepSizes& sizes, int32_t* memory) const {
  const int B = batch.row_count, T = batch.token_count(), R = batch.output_count();
  put(batch.tokens, T, sizes.tokens, 0, memory + token_ids_);
  put(batch.slots, B, sizes.rows, 0, memory + slots_);
  put(batch.q_indptr, B + 1, sizes.rows + 1, T, memory + q_indptr_);
  put(batch.starts, B, sizes.rows, 0, memory + starts_);
  put(batch.kinds, B, sizes.rows, 0, memory + kinds_);
  put(batch.next_tokens, B, sizes.rows, -1, memory + next_tokens_);
  put(batch.logit_rows, B, sizes.rows, -1, memory + logit_rows_);
  put(batch.out_indptr, B + 1, sizes.rows + 1, R, memory + out_indptr_);
  for (int row = 0; row < B; ++row) {
    const int begin = batch.q_indptr[row], end = batch.q_indptr[row + 1], outputs = batch.out_indptr[row + 1] - batch.out_indptr[row];
    for (int t = begin; t < end; ++t) {
      memory[positions_ + t] = batch.starts[row] + t - begin;
      memory[row_of_token_ + t] = row;
    }
    for (int i = 0; i < outputs; ++i) {  // the last tokens of the row
      memory[out_tokens_ + batch.out_indptr[row] + i] = end - outputs + i;
      memory[out_rows_ + batch.out_indptr[row] + i] = row;
    }
  }
  std::fill(memory + positions_ + T, memory + positions_ + sizes.tokens, 0);
  std::fill(memory + row_of_token_ + T, memory + row_of_token_ + sizes.tokens, -1);
  std::fill(memory + out_tokens_ + R, memory + out_tokens_ + sizes.outputs, 0);
  std::fill(memory + out_rows_ + R, memory + out_rows_ + sizes.outputs, -1);
  for (int group = 0; group < sizes.groups; ++group) {
    const auto indptr = batch.kv_indptr.begin() + ptrdiff_t(group) * (B + 1), first = batch.kv_first.begin() + ptrdiff_t(group) * B;
    int32_t* padded = std::copy_n(indptr, B + 1, memory + kv_indptr_ + int64_t(group) * (sizes.rows + 1));
    std::fill_n(padded, sizes.rows - B, indptr[B]);
    std::fill_n(std::copy_n(first, B, memory + kv_first_ + int64_t(group) * sizes.rows), sizes.rows - B, 0);
  }
  std::copy(batch.kv_pages.begin(), batch.kv_pages.end(), memory + kv_pages_);
}

StepInputs StepLayout::inputs(const StepSizes& sizes, const int32_t* memory, std::span<PageTables> tables) const {
  for (int64_t group = 0; group < sizes.groups; ++group) {
    tables[group] = {memory + kv_indptr_ + group * (sizes.rows + 1), memory + kv_first_ + group * sizes.rows, memory + kv_pages_};
  }
  return {.rows = sizes.rows,
          .tokens = sizes.tokens,
          .outputs = sizes.outputs,
          .is_long = sizes.is_long,
          .token_ids = memory + token_ids_,
          .positions = memory + positions_,
          .row_of_token = memory + row_of_token_,
          .slots = memory + slots_,
          .q_indptr = memory + q_indptr_,
          .starts = memory + starts_,
          .kinds = memory + kinds_,
          .out_indptr = memory + out_indptr_,
          .out_tokens = memory + out_tokens_,
          .out_rows = memory + out_rows_,
          .next_tokens = memory + next_tokens_,
          .logit_rows = memory + logit_rows_,
          .tables = tables};
}

void StepResult::reset(int outputs, size_t logits_size) {
  sampled.assign(outputs, -1);
  logprobs.assign(outputs, std::numeric_limits<float>::quiet_NaN());
  top_tokens.assign(size_t(outputs) * kMaxTopLogprobs, -1);
  top_logprobs.assign(size_t(outputs) * kMaxTopLogprobs, 0);
  logits.resize(logits_size);
}

}  // namespace kvasir
