// embed: see ops/embed.h. A panel of 16 rows is unpacked in chunks and one of its rows kept: some microseconds a token.
#include "ops/embed.h"

#include "cpu/kernels.h"
#include "cpu/kernels/rows.h"
#include "cpu/kernels/unpack.h"
#include "cpu/packed_weight.h"

namespace kvasir::cpu::KVASIR_ISA {
namespace {

constexpr int kChunk = 256;

// y = scale * row, or where it is added y += row.
template <class F, bool add>
void embed_row(const PackedWeight& table, int row, float scale, float* y) {
  alignas(64) float tile[kChunk * 16];
  const uint8_t* panel = table.panel(row / 16);
  for (int first = 0; first < table.cols; first += kChunk) {
    const int count = least(kChunk, table.cols - first);
    unpack<F>(panel, table.cols, first, count, tile);
    for (int k = 0; k < count; ++k) {
      const float value = tile[k * 16 + row % 16] * scale;
      y[first + k] = add ? y[first + k] + value : value;
    }
  }
}

}  // namespace

void run(const Embed& op, Context context) {
  const auto& table = static_cast<const PackedWeight&>(*op.table);
  const auto put = with_format(table.type, [](auto format) { return &embed_row<decltype(format), false>; });
  for_items(context.threads, op.step->tokens, int64_t(table.cols) * 4,
            [&](int64_t t) { put(table, op.step->token_ids[t], op.scale, row_of(op.y, t)); });
  if (op.position_table == nullptr) return;
  const auto& positions = static_cast<const PackedWeight&>(*op.position_table);
  const auto add = with_format(positions.type, [](auto format) { return &embed_row<decltype(format), true>; });
  for_items(context.threads, op.step->tokens, int64_t(table.cols) * 4,
            [&](int64_t t) { add(positions, op.step->positions[t], 1, row_of(op.y, t)); });
}

}  // namespace kvasir::cpu::KVASIR_ISA
