#pragma once
// How the CPU back end keeps a matrix [N, K]: repacked once at load so that 16 rows fill a vector and every load is whole and aligned.
//
// Panels of 16 rows (the last one padded with zeros), one after the other. Dense types: element (k, row) at [k * 16 + row]; BF16: two k side
// by side, as products of pairs take them, at [k / 2 * 32 + row * 2 + k % 2], an odd K padded with a zero.
// Quantized types: three sections one after the other, each ascending in k, `blocks` = K / 32. What the numbers mean: quant/blocks.h.
//
//   quants  [blocks]    per block of 32 k the levels of 16 rows: 8 groups of 4 k. A byte vector of 64 holds the bytes (row * 4 + k % 4).
//                       A level's lower bits come first, then a section of its upper bits, each of w vectors for w bits:
//                       8 bits   vector j has group j
//                       4        vector j has group j in its low and group j + 4 in its high nibbles
//                       2        bits 2i, 2i+1 of vector v are those of group 4 v + i
//                       1        bit j of a byte is that of group j
//   scales  [blocks]    Q8_0, Q4_0, Q5_0, IQ4_NL   16 x d (float16)
//                       Q4_1, Q5_1                 16 x d, 16 x m (float16)
//                       Q4_K                       16 x scale, 16 x min (uint8)
//                       Q6_K                       16 x scale of k < 16, 16 x of k >= 16 (int8)
//                       Q2_K                       the same (low nibble: scale, high nibble: min)
//                       Q3_K, Q5_K                 16 x the lower 4 bits of a pair: scales of k < 16 and k >= 16; scale and min
//                       MXFP4                      16 x e
//                       F8_E4M3                    16 x d (float32), of this block and the next
//   supers  [K / 256]   Q2_K, Q4_K                 16 x d, 16 x dmin (float16)
//                       Q5_K                       the same, then 16 words whose bits 4 b .. 4 b + 3 are the upper 2 bits of block b's pair
//                       Q3_K                       16 x d, then such words
//                       Q6_K                       16 x d
//                       IQ4_XS                     16 x d, 16 words with 4 lower bits and 16 half words with 2 upper bits of each block's scale
//
// Bits are kept: a panel has the size of its rows in the file, Q4_K 2.8 % more (its 6-bit scales have a byte each).
#include "tensor/dtype.h"

namespace kvasir::quant {

inline constexpr int kPanelRows = 16;
inline constexpr int kBlock = 32;        // k of a block of levels
inline constexpr int kSuperBlock = 256;  // k of a block of K-quants

// Bits of a level's lower and upper part; bytes of scales for one block and of supers for one super-block.
struct Sections {
  int low, high;
  int scales;
  int supers;
  constexpr int quants() const { return 64 * (low + high); }  // bytes of a block
};

inline constexpr Sections sections(DType type) {
  switch (type) {
    case DType::Q8_0:
    case DType::F8_E4M3:  // 64 bytes of scales for two blocks
      return {8, 0, 32, 0};
    case DType::Q4_0:
    case DType::IQ4_NL:
      return {4, 0, 32, 0};
    case DType::Q4_1:
      return {4, 0, 64, 0};
    case DType::Q5_0:
      return {4, 1, 32, 0};
    case DType::Q5_1:
      return {4, 1, 64, 0};
    case DType::Q2_K:
      return {2, 0, 32, 64};
    case DType::Q3_K:
      return {2, 1, 16, 96};
    case DType::Q4_K:
      return {4, 0, 32, 64};
    case DType::Q5_K:
      return {4, 1, 16, 128};
    case DType::Q6_K:
      return {4, 2, 32, 32};
    case DType::IQ4_XS:
      return {4, 0, 0, 128};
    case DType::MXFP4:
      return {4, 0, 16, 0};
    default:
      return {};  // dense
  }
}

// Bytes from one panel to the next: a multiple of 64.
size_t panel_bytes(DType type, int cols);

// Packs `rows` (1 to 16) consecutive rows in the file's layout; `panel` has panel_bytes.
void pack_panel(DType type, int cols, const uint8_t* file_rows, int rows, uint8_t* panel);

}  // namespace kvasir::quant
