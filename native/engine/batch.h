#pragma once
// The checks that a step from outside has to pass.
#include "engine/config.h"
#include "ops/step.h"

namespace kvasir {

// The page tables of so many rows, in all cache groups, have at most so many pages: what a context holds, each.
int64_t most_pages(const EngineConfig& config, int rows);

// What the page table of a row is held to.
struct PageLimits {
  int window;  // 0: all
  int page_size;
  int64_t pages;  // of the pool
};

// Throws INVALID_ARGUMENT unless the row's pages in the group exist and cover the positions that it reads, from the window of its first
// token on, and writes.
void check_pages(const Batch& batch, int group, int row, const PageLimits& limits);

// The passes of the draft model before a step: the first runs what it has not seen of rows, and samples a token for those that want any; each
// after it runs the token that the one before sampled. `batch` is one that check() lets through, or is about to.
std::vector<Batch> draft_passes(const Batch& batch, int groups);

// Throws INVALID_ARGUMENT for a batch that would read or write outside what it owns: sizes, order, ranges of slots, tokens, positions,
// outputs and pages, and pages that do not cover the positions that the row reads and writes; likewise for what the draft model runs.
// `logit_rows`: how many the result has.
void check(const Batch& batch, const EngineConfig& config, int logit_rows);

}  // namespace kvasir
