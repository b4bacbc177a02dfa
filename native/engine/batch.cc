#include "engine/batch.h"

#include <algorithm>
#include <utility>

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

// In the groups that have layers of the model.
void check_row_pages(const Batch& batch, const ModelConfig& config, int row) {
  for (size_t group = 0; group < config.spec.cache_groups.size(); ++group) {
    const CacheGroup& spec = config.spec.cache_groups[group];
    if (!spec.layers.empty()) check_pages(batch, static_cast<int>(group), row, {spec.window, config.page_size, config.pages[group]});
  }
}

void check_tokens(std::span<const int32_t> tokens, int least, int vocab_size) {
  for (int32_t token : tokens) {
    if (token < least || token >= vocab_size) fail("INVALID_ARGUMENT", "token is %d; expected %d to %d", token, least, vocab_size - 1);
  }
}

// What row `row` has the draft model run ends with the last token that the row itself runs before its guesses.
void check_drafts(const Batch& batch, int row) {
  const Drafts& drafts = batch.drafts;
  const int64_t count = int64_t(drafts.indptr[row + 1]) - drafts.indptr[row], guesses = drafts.counts[row];
  const int64_t tokens = batch.q_indptr[row + 1] - batch.q_indptr[row], outputs = batch.out_indptr[row + 1] - batch.out_indptr[row];
  if (count < 0 || guesses < 0 || (guesses > 0 && (count == 0 || batch.kinds[row] != int32_t(RowOutput::Sample) || guesses >= outputs))) {
    fail("INVALID_ARGUMENT", "row %d has %lld tokens to draft from, %lld drafts and %lld outputs; expected more outputs than drafts", row,
         static_cast<long long>(count), static_cast<long long>(guesses), static_cast<long long>(outputs));
  }
  if (guesses > 0 && drafts.starts[row] + count != batch.starts[row] + tokens - outputs + 1) {
    fail("INVALID_ARGUMENT", "row %d drafts from position %lld on; expected %lld, after the last token that is no guess", row,
         static_cast<long long>(drafts.starts[row] + count), static_cast<long long>(batch.starts[row] + tokens - outputs + 1));
  }
}

// Tokens of the step, and all that the draft model is to run.
void check_drafts(const Batch& batch, const EngineConfig& config) {
  const Drafts& drafts = batch.drafts;
  const size_t rows = static_cast<size_t>(batch.row_count);
  if (drafts.indptr.empty()) return check_tokens(batch.tokens, -1, config.spec.vocab_size);
  const bool right = config.draft && drafts.indptr.size() == rows + 1 && drafts.starts.size() == rows && drafts.counts.size() == rows &&
                     drafts.indptr[0] == 0 && drafts.indptr.back() == static_cast<int64_t>(drafts.tokens.size()) &&
                     drafts.indptr.back() <= config.max_batch_tokens;
  if (!right)
    fail("INVALID_ARGUMENT", "drafts have other sizes; expected a draft model and %d rows of at most %d tokens", batch.row_count,
         config.max_batch_tokens);
  check_tokens(drafts.tokens, -1, config.spec.vocab_size);
  for (int row = 0; row < batch.row_count; ++row) {
    check_drafts(batch, row);
    const auto begin = batch.tokens.begin() + batch.q_indptr[row], end = batch.tokens.begin() + batch.q_indptr[row + 1];
    check_tokens({begin, end}, -1 - drafts.counts[row], config.spec.vocab_size);
  }
  for (const Batch& pass : draft_passes(batch, static_cast<int>(config.spec.cache_groups.size()))) {
    for (int row = 0; row < pass.row_count; ++row) {
      check_row(pass, config, row);
      check_row_pages(pass, *config.draft, row);
    }
  }
}

// Adds a row of tokens [begin, end) of the drafts, or of -1 alone, to a pass: that of `row` of the step.
void add_draft_row(const Batch& batch, int row, std::span<const int32_t> tokens, int start, bool samples, Batch& pass) {
  pass.row_count += 1;
  pass.slots.push_back(batch.slots[row]);
  pass.tokens.insert(pass.tokens.end(), tokens.begin(), tokens.end());
  pass.q_indptr.push_back(static_cast<int32_t>(pass.tokens.size()));
  pass.starts.push_back(start);
  pass.kinds.push_back(int32_t(samples ? RowOutput::Draft : RowOutput::None));
  pass.out_indptr.push_back(pass.out_indptr.back() + (samples ? 1 : 0));
  pass.next_tokens.push_back(-1);
  pass.logit_rows.push_back(-1);
}

// The page tables of rows `rows` of the step, group by group.
void add_pages(const Batch& batch, std::span<const int> rows, int groups, Batch& pass) {
  for (int group = 0; group < groups; ++group) {
    pass.kv_indptr.push_back(static_cast<int32_t>(pass.kv_pages.size()));
    for (int row : rows) {
      const int32_t* indptr = batch.kv_indptr.data() + size_t(group) * (batch.row_count + 1) + row;
      pass.kv_pages.insert(pass.kv_pages.end(), batch.kv_pages.begin() + indptr[0], batch.kv_pages.begin() + indptr[1]);
      pass.kv_indptr.push_back(static_cast<int32_t>(pass.kv_pages.size()));
      pass.kv_first.push_back(batch.kv_first[size_t(group) * batch.row_count + row]);
    }
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
  const int32_t* indptr = batch.kv_indptr.data() + size_t(group) * (batch.row_count + 1);
  const int64_t first = batch.kv_first[size_t(group) * batch.row_count + row], begin = indptr[row], end = indptr[row + 1];
  if (begin < 0 || end < begin || end > static_cast<int64_t>(batch.kv_pages.size()) || first < 0) {
    fail("INVALID_ARGUMENT", "row %d: its pages in group %d are [%d, %d); expected a part of [0, %zu)", row, group, indptr[row],
         indptr[row + 1], batch.kv_pages.size());
  }
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

std::vector<Batch> draft_passes(const Batch& batch, int groups) {
  const Drafts& drafts = batch.drafts;
  std::vector<Batch> passes;
  for (int number = 0; !drafts.indptr.empty(); ++number) {
    Batch pass;
    pass.q_indptr = pass.out_indptr = {0};
    std::vector<int> rows;
    for (int row = 0; row < batch.row_count; ++row) {
      const int begin = drafts.indptr[row], count = drafts.indptr[row + 1] - begin;
      if (number == 0 ? count == 0 : number >= drafts.counts[row]) continue;
      static constexpr int32_t kLast[] = {-1};
      const auto unseen = std::span(drafts.tokens).subspan(begin, count);
      const bool first = number == 0;
      const int start = drafts.starts[row] + (first ? 0 : count + number - 1);
      add_draft_row(batch, row, first ? unseen : std::span<const int32_t>(kLast), start, number < drafts.counts[row], pass);
      rows.push_back(row);
    }
    if (rows.empty()) break;
    add_pages(batch, rows, groups, pass);
    passes.push_back(std::move(pass));
  }
  return passes;
}

void check(const Batch& batch, const EngineConfig& config, int logit_rows) {
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
  check_drafts(batch, config);
}

}  // namespace kvasir
