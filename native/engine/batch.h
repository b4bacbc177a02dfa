#pragma once
// The checks that a step from outside has to pass.
#include <span>
#include <vector>

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

// Likewise in all groups; of those without layers of the model the tables have to be parts of kv_pages alone. Likewise for a row's positions,
// slot and next token, and for ids from `least` on.
void check_row_pages(const Batch& batch, const ModelConfig& config, int row);
void check_row(const Batch& batch, const EngineConfig& config, int row);
void check_tokens(std::span<const int32_t> tokens, int least, int vocab_size);

// Throws INVALID_ARGUMENT for a batch that would read or write outside what it owns: sizes, order, ranges of slots, tokens, positions,
// outputs and pages, and pages that do not cover the positions that the row reads and writes; likewise for what the draft model runs, whose
// passes it returns. `logit_rows`: how many the result has.
std::vector<Batch> check(const Batch& batch, const EngineConfig& config, int logit_rows);

}  // namespace kvasir
