#include "quant/pack.h"

#include <iterator>

#include "quant/blocks.h"

namespace kvasir::quant {
namespace {

// What 256 k of 16 rows take.
constexpr int packed_bytes(DType type) {
  const Sections size = sections(type);
  return kSuperBlock / kBlock * (size.quants() + size.scales) + size.supers;
}
constexpr int file_bytes(DType type) {
  return kPanelRows * kSuperBlock / info(type).block * info(type).bytes;
}
constexpr bool keeps_size(DType type) {
  return !is_quantized(type) || type == DType::Q4_K || packed_bytes(type) == file_bytes(type);
}
static_assert([] {
  for (size_t type = 0; type < std::size(kDTypes); ++type) {
    if (!keeps_size(static_cast<DType>(type))) return false;
  }
  return true;
}());

// Puts the bits of a level into their section of a block, which has `bits` vectors.
template <int bits>
void put(int k, int row, int value, uint8_t* section) {
  const int group = k / 4, vector = bits == 4 ? group % 4 : group * bits / 8, shift = bits == 4 ? group / 4 * 4 : group * bits % 8;
  section[vector * 64 + row * 4 + k % 4] |= static_cast<uint8_t>(value << shift);
}

// Writes a row's levels of one block into the quants section, which is zero.
template <DType type>
void put_levels(const uint8_t* file, int first, int row, uint8_t* quants) {
  constexpr Sections size = sections(type);
  for (int k = 0; k < kBlock; ++k) {
    const int u = level<type>(file, first + k);
    put<size.low>(k, row, u & ((1 << size.low) - 1), quants);
    if constexpr (size.high > 0) put<size.high>(k, row, u >> size.low, quants + 64 * size.low);
  }
}

// A pair of 6-bit numbers: the lower bits in a byte, the upper ones in a word that all pairs of a super-block share.
void put_pair(int first, int second, int sub, uint8_t* low, uint8_t* word) {
  *low = static_cast<uint8_t>((first & 15) | (second & 15) << 4);
  word[sub / 2] |= static_cast<uint8_t>((first >> 4 | second >> 4 << 2) << (sub % 2 * 4));
}

// A row's scales of one block.
template <DType type>
void put_scales(const uint8_t* file, int sub, int row, uint8_t* scales, uint8_t* supers) {
  if constexpr (type == DType::Q4_K) {
    scales[row] = static_cast<uint8_t>(scale_of_32(file + 4, sub));
    scales[16 + row] = static_cast<uint8_t>(min_of_32(file + 4, sub));
  } else if constexpr (type == DType::Q5_K) {
    put_pair(scale_of_32(file + 4, sub), min_of_32(file + 4, sub), sub, scales + row, supers + 64 + 4 * row);
  } else if constexpr (type == DType::Q3_K) {
    put_pair(scale_of_16(file + 96, 2 * sub), scale_of_16(file + 96, 2 * sub + 1), sub, scales + row, supers + 32 + 4 * row);
  } else if constexpr (type == DType::Q2_K || type == DType::Q6_K) {
    const uint8_t* packed = file + (type == DType::Q6_K ? 192 : 0);
    scales[row] = packed[2 * sub];
    scales[16 + row] = packed[2 * sub + 1];
  } else if constexpr (type == DType::MXFP4) {
    scales[row] = file[0];
  } else if constexpr (type == DType::F8_E4M3) {
    if (sub == 0) std::memcpy(scales + 4 * row, file, 4);
  } else if constexpr (type != DType::IQ4_XS) {
    std::memcpy(scales + 2 * row, file, 2);
    if constexpr (type == DType::Q4_1 || type == DType::Q5_1) std::memcpy(scales + 32 + 2 * row, file + 2, 2);
  }
}

// What a row has once for a super-block, but for the words of put_pair.
template <DType type>
void put_supers(const uint8_t* file, int row, uint8_t* supers) {
  constexpr int d = type == DType::Q2_K ? 80 : type == DType::Q3_K ? 108 : type == DType::Q6_K ? 208 : 0;
  std::memcpy(supers + 2 * row, file + d, 2);
  if constexpr (type == DType::Q2_K || type == DType::Q4_K || type == DType::Q5_K) std::memcpy(supers + 32 + 2 * row, file + d + 2, 2);
  if constexpr (type == DType::IQ4_XS) {
    std::memcpy(supers + 32 + 4 * row, file + 4, 4);
    std::memcpy(supers + 96 + 2 * row, file + 2, 2);
  }
}

template <DType type>
void pack_row(int cols, const uint8_t* file, int row, uint8_t* panel) {
  constexpr Sections size = sections(type);
  constexpr int subs = info(type).block / kBlock;
  const int blocks = cols / kBlock;
  uint8_t *scales = panel + size_t(blocks) * size.quants(), *supers = scales + size_t(blocks) * size.scales;
  for (int block = 0; block < blocks; ++block) {
    const int sub = block % subs;
    const uint8_t* from = file + size_t(block / subs) * info(type).bytes;
    uint8_t* super = supers + size_t(block / subs) * size.supers;
    put_levels<type>(from, sub * kBlock, row, panel + size_t(block) * size.quants());
    put_scales<type>(from, sub, row, scales + size_t(block) * size.scales, super);
    if constexpr (size.supers > 0) {
      if (sub == 0) put_supers<type>(from, row, super);
    }
  }
}

// `group` k of a row stand side by side.
template <class Element, int group = 1>
void pack_dense(int cols, const uint8_t* file_rows, int rows, uint8_t* panel) {
  for (int row = 0; row < rows; ++row) {
    const uint8_t* from = file_rows + size_t(row) * cols * sizeof(Element);
    for (int k = 0; k < cols; ++k) {
      const size_t place = (size_t(k / group) * kPanelRows + row) * group + k % group;
      std::memcpy(panel + place * sizeof(Element), from + k * sizeof(Element), sizeof(Element));
    }
  }
}

}  // namespace

size_t panel_bytes(DType type, int cols) {
  const Sections size = sections(type);
  const size_t bytes = is_quantized(type) ? size_t(cols / kBlock) * (size.quants() + size.scales) + size_t(cols / kSuperBlock) * size.supers
                                          : size_t(type == DType::BF16 ? cols + cols % 2 : cols) * kPanelRows * info(type).bytes;
  return (bytes + 63) / 64 * 64;
}

void pack_panel(DType type, int cols, const uint8_t* file_rows, int rows, uint8_t* panel) {
  std::memset(panel, 0, panel_bytes(type, cols));
  if (type == DType::F32) return pack_dense<uint32_t>(cols, file_rows, rows, panel);
  if (type == DType::BF16) return pack_dense<uint16_t, 2>(cols, file_rows, rows, panel);
  if (type == DType::F16) return pack_dense<uint16_t>(cols, file_rows, rows, panel);
  const size_t stride = size_t(cols) / info(type).block * info(type).bytes;
  with_type(type, [&](auto constant) {
    if constexpr (is_quantized(constant)) {
      for (int row = 0; row < rows; ++row) pack_row<constant>(cols, file_rows + row * stride, row, panel);
    }
  });
}

}  // namespace kvasir::quant
