#pragma once
// Every op, as a value: a back end runs it, records it or plays it back. One op has one name in five places: its contract here in ops/,
// cpu/kernels/, cuda/kernels/, test/ops/ and bench/ops/. Its visit(memory) names what it refers to in the back end's memory: views and step
// inputs.
#include <variant>

#include "ops/add_norm.h"
#include "ops/attention.h"
#include "ops/embed.h"
#include "ops/gather_rows.h"
#include "ops/matmul.h"
#include "ops/qk_rope_append.h"
#include "ops/scale_logits.h"

namespace kvasir {

using Op = std::variant<AddNorm, Attention, Embed, GatherRows, Matmul, QkRopeAppend, ScaleLogits>;

}  // namespace kvasir
