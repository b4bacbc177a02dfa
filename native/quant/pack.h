#pragma once
// How the CPU back end keeps a matrix [N, K]: repacked once at load so that 16 rows fill a vector and every load is whole and aligned.
//
// Panels of 16 rows (the last one padded with zeros), one after the other. Dense types: element (k, row) at [k * 16 + row].
// Quantized types: three sections one after the other, each ascending in k, `blocks` = K / 32:
//
//   quants  [blocks]    per block of 32 k the levels u of 16 rows: 8 groups of 4 k. A byte vector of 64 holds the bytes (row * 4 + k % 4)
//                       Q8_0           512 bytes  8 vectors, one a group
//                       Q4_0, Q4_K     256 bytes  4 vectors: vector j has group j in its low and group j + 4 in its high nibbles
//                       Q5_0           320 bytes  the same, then one vector: bit j of a byte is bit 4 of its level in group j
//                       Q6_K           384 bytes  the same, then two vectors: bits 2i, 2i+1 of vector v are bits 4, 5 of group 4 v + i
//   scales  [blocks]    32 bytes: 16 x float16; Q4_K: 16 x scale, 16 x min (uint8); Q6_K: 16 x scale of k < 16, 16 x of k >= 16 (int8)
//   supers  [K / 256]   Q4_K: 16 x d, 16 x dmin (float16); Q6_K: 16 x d (float16); others: none
//
//   value = scale * (u - offset)          offset: Q8_0 128, Q4_0 8, Q5_0 16, Q6_K 32 (scale = d * int8 scale)
//   value = d * scale * u - dmin * min    Q4_K
//
// Bits are kept: a panel has the size of its rows in the file, Q4_K 2.8 % more (its 6-bit scales have a byte each).
#include "tensor/dtype.h"

namespace kvasir::quant {

inline constexpr int kPanelRows = 16;
inline constexpr int kBlock = 32;        // k of a block of levels
inline constexpr int kSuperBlock = 256;  // k of a block of K-quants

// Bytes of each section for one block (quants, scales) and one super-block (supers).
struct Sections {
  int quants;
  int scales;
  int supers;
};

inline constexpr Sections kSections[] = {{0, 0, 0},    {0, 0, 0},    {0, 0, 0},     {512, 32, 0},
                                         {256, 32, 0}, {320, 32, 0}, {256, 32, 64}, {384, 32, 32}};

// Bytes from one panel to the next: a multiple of 64.
size_t panel_bytes(DType type, int cols);

// Packs `rows` (1 to 16) consecutive rows in the file's layout; `panel` has panel_bytes.
void pack_panel(DType type, int cols, const uint8_t* file_rows, int rows, uint8_t* panel);

}  // namespace kvasir::quant
