#pragma once
// What a draft model runs before a step.
#include <vector>

#include "engine/config.h"
#include "ops/step.h"

namespace kvasir {

// Its passes: the first runs what it has not seen of rows, and samples a token for those that want any; each after it runs the token that the
// one before sampled. Throws INVALID_ARGUMENT for drafts whose arrays don't fit each other or the batch's rows, whose passes would read or write
// outside what their rows own, and for tokens of the step that are no token and no draft. The rows' own arrays fit each other.
std::vector<Batch> checked_drafts(const Batch& batch, const EngineConfig& config);

}  // namespace kvasir
