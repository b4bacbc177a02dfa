#include "engine/batch.h"

#include <algorithm>
#include <utility>

#include "engine/drafts.h"
#include "tensor/status.h"

namespace kvasir {
namespace {

void check_sizes(const Batch& batch, const EngineConfig& config) {
  const size_t rows = static_cast<size_t>(batch.row_count), groups = config.spec.cache_groups.size();
  if (batch.row_count < 1 || batch.row_count > config.max_slots) {
    fail("INVALID_ARGUMENT", "rowCount is %d; expected 1 to %d", batch.row_count, config.max_slots);
  }
  const bool right = batch.slots.size() == rows && batch.q_indptr.size() == rows + 1 && batch.starts.size() == rows &&
                     batch.kinds.size() == rows && batch.out_indptr.size() == rows + 1 && batch.next_tokens.size() == rows &&
                     batch.logit_rows.size() == rows && batch.kv_indptr.size() == groups * (rows + 1) &&
                     batch.kv_first.size() == groups * rows;
  if (!right) fail("INVALID_ARGUMENT", "a step's arrays have other sizes; expected those of %d rows", batch.row_count);
  const int64_t pages = static_cast<int64_t>(batch.kv_pages.size()), most = most_pages(config, batch.row_count);
  if (pages > most) {
    fail("INVALID_ARGUMENT", "a step has %lld pages; expected at most %lld", static_cast<long long>(pages), static_cast<long long>(most));
  }
}

void check_page_range(const Batch& batch, int group, int row) {
  const int32_t* indptr = batch.kv_indptr.data() + size_t(group) * (batch.row_count + 1);
  if (indptr[row] < 0 || indptr[row + 1] < indptr[row] || indptr[row + 1] > static_cast<int64_t>(batch.kv_pages.size()) ||
      batch.kv_first[size_t(group) * batch.row_count + row] < 0) {
    fail("INVALID_ARGUMENT", "row %d: its pages in group %d are [%d, %d); expected a part of [0, %zu)", row, group, indptr[row],
         indptr[row + 1], batch.kv_pages.size());
  }
}

// Score rows give an output for each token, logits rows one, sampled rows one for each of their last tokens.
void check_outputs(const Batch& batch, int logit_rows, int row) {
  const int64_t count = int64_t(batch.out_indptr[row + 1]) - batch.out_indptr[row], tokens = batch.q_indptr[row + 1] - batch.q_indptr[row];
  int64_t least = 0, most = 0;
  switch (static_cast<RowOutput>(batch.kinds[row])) {
    case RowOutput::None:
      break;
    case RowOutput::Sample:
      least = 1, most = tokens;
      break;
    case RowOutput::Logits:
      least = most = 1;
      break;
    case RowOutput::Score:
      least = most = tokens;
      break;
    default:  // Draft is for draft_passes() alone
      fail("INVALID_ARGUMENT", "row %d: kind is %d; expected 0 to 3", row, batch.kinds[row]);
  }
  if (count < least || count > most) {
    fail("INVALID_ARGUMENT", "row %d has %lld outputs; expected %lld to %lld", row, static_cast<long long>(count),
         static_cast<long long>(least), static_cast<long long>(most));
  }
  const int64_t first = batch.logit_rows[row];
  if (first < -1 || (first >= 0 && first + count > logit_rows) || (first < 0 && batch.kinds[row] == int32_t(RowOutput::Logits))) {
    fail("INVALID_ARGUMENT", "row %d: logits begin at row %lld; expected room for %lld rows, of %d", row, static_cast<long long>(first),
         static_cast<long long>(count), logit_rows);
  }
}

}  // namespace

int64_t most_pages(const EngineConfig& config, int rows) {
  const int64_t pages = (int64_t(config.max_context) + config.page_size - 1) / config.page_size;
  return rows * pages * static_cast<int64_t>(config.spec.cache_groups.size());
}

void check_pages(const Batch& batch, int group, int row, const PageLimits& limits) {
  check_page_range(batch, group, row);
  const int32_t* indptr = batch.kv_indptr.data() + size_t(group) * (batch.row_count + 1);
  const int64_t first = batch.kv_first[size_t(group) * batch.row_count + row], begin = indptr[row], end = indptr[row + 1];
  const int64_t start = batch.starts[row], stop = start + batch.q_indptr[row + 1] - batch.q_indptr[row];
  const int64_t seen = limits.window == 0 ? 0 : std::max<int64_t>(0, start - limits.window + 1);
  if (first * limits.page_size > seen || (first + end - begin) * limits.page_size < stop) {
    fail("INVALID_ARGUMENT", "row %d: its pages in group %d do not cover positions %lld to %lld", row, group, static_cast<long long>(seen),
         static_cast<long long>(stop));
  }
  for (int64_t i = begin; i < end; ++i) {
    if (batch.kv_pages[i] < 0 || batch.kv_pages[i] >= limits.pages) {
      fail("INVALID_ARGUMENT", "row %d: kvPages has %d in group %d; expected 0 to %lld", row, batch.kv_pages[i], group,
           static_cast<long long>(limits.pages - 1));
    }
  }
}

void check_row(const Batch& batch, const EngineConfig& config, int row) {
  const int64_t count = int64_t(batch.q_indptr[row + 1]) - batch.q_indptr[row], start = batch.starts[row];
  if (count < 1 || start < 0 || start > config.max_context - count) {
    fail("INVALID_ARGUMENT", "row %d has %lld tokens from position %lld on; expected at least one, at positions from 0 to %d", row,
         static_cast<long long>(count), static_cast<long long>(start), config.max_context - 1);
  }
  if (batch.slots[row] < 0 || batch.slots[row] >= config.max_slots)
    fail("INVALID_ARGUMENT", "row %d: slot is %d; expected 0 to %d", row, batch.slots[row], config.max_slots - 1);
  if (batch.next_tokens[row] < -1 || batch.next_tokens[row] >= config.spec.vocab_size) {
    fail("INVALID_ARGUMENT", "row %d: next token is %d; expected -1 to %d", row, batch.next_tokens[row], config.spec.vocab_size - 1);
  }
}

void check_row_pages(const Batch& batch, const ModelConfig& config, int row) {
  for (size_t group = 0; group < config.spec.cache_groups.size(); ++group) {
    const CacheGroup& spec = config.spec.cache_groups[group];
    if (spec.layers.empty()) {
      check_page_range(batch, static_cast<int>(group), row);
    } else {
      check_pages(batch, static_cast<int>(group), row, {spec.window, config.page_size, config.pages[group]});
    }
  }
}

void check_tokens(std::span<const int32_t> tokens, int least, int vocab_size) {
  for (int32_t token : tokens) {
    if (token < least || token >= vocab_size) fail("INVALID_ARGUMENT", "token is %d; expected %d to %d", token, least, vocab_size - 1);
  }
}

std::vector<Batch> check(const Batch& batch, const EngineConfig& config, int logit_rows) {
  check_sizes(batch, config);
  if (batch.q_indptr[0] != 0 || batch.token_count() != static_cast<int64_t>(batch.tokens.size()) ||
      batch.token_count() > config.max_batch_tokens) {
    fail("INVALID_ARGUMENT", "a step has %zu tokens; expected as many as qIndptr says, and at most %d", batch.tokens.size(),
         config.max_batch_tokens);
  }
  if (batch.out_indptr[0] != 0) fail("INVALID_ARGUMENT", "outIndptr begins with %d; expected 0", batch.out_indptr[0]);
  std::vector<char> used(config.max_slots, 0);
  for (int row = 0; row < batch.row_count; ++row) {
    check_row(batch, config, row);
    check_outputs(batch, logit_rows, row);
    if (std::exchange(used[batch.slots[row]], 1)) fail("INVALID_ARGUMENT", "slot %d is in two rows", batch.slots[row]);
    check_row_pages(batch, config, row);
  }
  return checked_drafts(batch, config);
}

}  // namespace kvasir
