#include "engine/drafts.h"

#include <span>

#include "engine/batch.h"
#include "tensor/status.h"

namespace kvasir {
namespace {

// What row `row` has the draft model run ends with the last token that the row itself runs before its guesses.
void check_row_drafts(const Batch& batch, int row) {
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

// Adds a row of tokens [begin, end) of the drafts, or of -1 alone, to a pass: that of `row` of the step.
void add_draft_row(const Batch& batch, int row, std::span<const int32_t> tokens, int start, bool samples, Batch& pass) {
  pass.row_count += 1;
  pass.slots.push_back(batch.slots[row]);
  pass.tokens.insert(pass.tokens.end(), tokens.begin(), tokens.end());
  pass.q_indptr.push_back(static_cast<int32_t>(pass.tokens.size()));
  pass.starts.push_back(start);
  pass.kinds.push_back(int32_t(RowOutput::Draft));
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

std::vector<Batch> draft_passes(const Batch& batch, int groups) {
  const Drafts& drafts = batch.drafts;
  std::vector<Batch> passes;
  for (int number = 0;; ++number) {
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

}  // namespace

std::vector<Batch> checked_drafts(const Batch& batch, const EngineConfig& config) {
  const Drafts& drafts = batch.drafts;
  const size_t rows = static_cast<size_t>(batch.row_count);
  if (drafts.indptr.empty()) {
    check_tokens(batch.tokens, -1, config.spec.vocab_size);
    return {};
  }
  const bool right = config.draft && drafts.indptr.size() == rows + 1 && drafts.starts.size() == rows && drafts.counts.size() == rows &&
                     drafts.indptr[0] == 0 && drafts.indptr.back() == static_cast<int64_t>(drafts.tokens.size()) &&
                     drafts.indptr.back() <= config.max_batch_tokens;
  if (!right)
    fail("INVALID_ARGUMENT", "drafts have other sizes; expected a draft model and %d rows of at most %d tokens", batch.row_count,
         config.max_batch_tokens);
  check_tokens(drafts.tokens, -1, config.spec.vocab_size);
  for (int row = 0; row < batch.row_count; ++row) {
    check_row_drafts(batch, row);
    const auto begin = batch.tokens.begin() + batch.q_indptr[row], end = batch.tokens.begin() + batch.q_indptr[row + 1];
    check_tokens({begin, end}, -1 - drafts.counts[row], config.spec.vocab_size);
  }
  std::vector<Batch> passes = draft_passes(batch, static_cast<int>(config.spec.cache_groups.size()));
  for (const Batch& pass : passes) {
    for (int row = 0; row < pass.row_count; ++row) {
      check_row(pass, config, row);
      check_row_pages(pass, *config.draft, row);
    }
  }
  return passes;
}

}  // namespace kvasir
