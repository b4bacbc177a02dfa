// embed: see ops/embed.h. A panel of 16 rows is unpacked in chunks and one of its rows kept: some microseconds a token.
#include "ops/embed.h"

#include "cpu/kernels.h"
#include "cpu/kernels/rows.h"
#include "cpu/kernels/unpack.h"
#include "cpu/packed_weight.h"

namespace kvasir::cpu::KVASIR_ISA {
namespace {

constexpr int kChunk = 256;

template <class F>
void embed_row(const PackedWeight& table, int token, float scale, float* y) {
  alignas(64) float tile[kChunk * 16];
  const uint8_t* panel = table.panel(token / 16);
  for (int first = 0; first < table.cols; first += kChunk) {
    const int count = least(kChunk, table.cols - first);
    unpack<F>(panel, table.cols, first, count, tile);
    for (int k = 0; k < count; ++k) y[first + k] = tile[k * 16 + token % 16] * scale;
  }
}

}  // namespace

void run(const Embed& op, Context context) {
  const auto& table = static_cast<const PackedWeight&>(*op.table);
  const auto row = with_format(table.type, [](auto format) { return &embed_row<decltype(format)>; });
  for_items(context.threads, op.step->tokens, int64_t(table.cols) * 4,
            [&](int64_t t) { row(table, op.step->token_ids[t], op.scale, row_of(op.y, t)); });
}

}  // namespace kvasir::cpu::KVASIR_ISA
