#pragma once
// The checks that a step from outside has to pass.
#include "engine/config.h"
#include "ops/step.h"

namespace kvasir {

// The page tables of so many rows, in all cache groups, have at most so many pages: what a context holds, each.
int64_t most_pages(const EngineConfig& config, int rows);

// Throws INVALID_ARGUMENT for a batch that would read or write outside what it owns: sizes, order, ranges of slots, tokens, positions,
// outputs and pages, and pages that do not cover the positions that the row reads and writes. `logit_rows`: how many the result has.
void check(const Batch& batch, const EngineConfig& config, int logit_rows);

}  // namespace kvasir
