#include "quant/pack.h"

namespace kvasir::quant {
namespace {

// The levels of 32 k of one row, one a byte.
struct Levels {
  uint8_t u[kBlock];
};

// The file's blocks. `sub` counts the blocks of 32 within a block of the file.
Levels read_q8_0(const uint8_t* file) {
  Levels levels;
  for (int k = 0; k < kBlock; ++k) levels.u[k] = file[2 + k] ^ 0x80;
  return levels;
}

void read_nibbles(const uint8_t* qs, Levels& levels) {
  for (int k = 0; k < 16; ++k) {
    levels.u[k] = qs[k] & 15;
    levels.u[k + 16] = qs[k] >> 4;
  }
}

Levels read_q4_0(const uint8_t* file) {
  Levels levels;
  read_nibbles(file + 2, levels);
  return levels;
}

Levels read_q5_0(const uint8_t* file) {
  Levels levels;
  read_nibbles(file + 6, levels);
  for (int k = 0; k < kBlock; ++k) levels.u[k] |= static_cast<uint8_t>(((file[2 + k / 8] >> (k % 8)) & 1) << 4);
  return levels;
}

Levels read_q4_k(const uint8_t* file, int sub) {
  Levels levels;
  const uint8_t* qs = file + 16 + (sub / 2) * 32;
  for (int k = 0; k < kBlock; ++k) levels.u[k] = (qs[k] >> (4 * (sub % 2))) & 15;
  return levels;
}

Levels read_q6_k(const uint8_t* file, int sub) {
  Levels levels;
  const int half = sub / 4, quarter = sub % 4;
  const uint8_t *ql = file + half * 64 + (quarter % 2) * 32, *qh = file + 128 + half * 32;
  for (int k = 0; k < kBlock; ++k) {
    levels.u[k] = static_cast<uint8_t>(((ql[k] >> (4 * (quarter / 2))) & 15) | (((qh[k] >> (2 * quarter)) & 3) << 4));
  }
  return levels;
}

// The 6-bit scale and min of Q4_K, eight of each in 12 bytes.
void read_q4_k_scale(const uint8_t* packed, int sub, uint8_t* scale, uint8_t* min) {
  if (sub < 4) {
    *scale = packed[sub] & 63;
    *min = packed[sub + 4] & 63;
  } else {
    *scale = static_cast<uint8_t>((packed[sub + 4] & 15) | ((packed[sub - 4] >> 6) << 4));
    *min = static_cast<uint8_t>((packed[sub + 4] >> 4) | ((packed[sub] >> 6) << 4));
  }
}

// Writes a row's levels of one block into the quants section, which is zero.
void put_levels(DType type, const Levels& levels, int row, uint8_t* quants) {
  for (int k = 0; k < kBlock; ++k) {
    const int group = k / 4, place = row * 4 + k % 4, u = levels.u[k];
    if (type == DType::Q8_0) {
      quants[group * 64 + place] = static_cast<uint8_t>(u);
      continue;
    }
    quants[(group % 4) * 64 + place] |= static_cast<uint8_t>((u & 15) << (group < 4 ? 0 : 4));
    if (type == DType::Q5_0) quants[256 + place] |= static_cast<uint8_t>((u >> 4) << group);
    if (type == DType::Q6_K) quants[256 + (group / 4) * 64 + place] |= static_cast<uint8_t>((u >> 4) << (2 * (group % 4)));
  }
}

Levels read_levels(DType type, const uint8_t* file, int sub) {
  switch (type) {
    case DType::Q8_0:
      return read_q8_0(file);
    case DType::Q4_0:
      return read_q4_0(file);
    case DType::Q5_0:
      return read_q5_0(file);
    case DType::Q4_K:
      return read_q4_k(file, sub);
    default:
      return read_q6_k(file, sub);
  }
}

void put_scales(DType type, const uint8_t* file, int sub, int row, uint8_t* scales, uint8_t* supers) {
  if (type == DType::Q4_K) {
    read_q4_k_scale(file + 4, sub, scales + row, scales + 16 + row);
    std::memcpy(supers + 2 * row, file, 2);
    std::memcpy(supers + 32 + 2 * row, file + 2, 2);
  } else if (type == DType::Q6_K) {
    scales[row] = file[192 + 2 * sub];
    scales[16 + row] = file[192 + 2 * sub + 1];
    std::memcpy(supers + 2 * row, file + 208, 2);
  } else {
    std::memcpy(scales + 2 * row, file, 2);
  }
}

void pack_row(DType type, int cols, const uint8_t* file, int row, uint8_t* panel) {
  const Sections size = kSections[static_cast<int>(type)];
  const int blocks = cols / kBlock, subs = info(type).block / kBlock;
  uint8_t *scales = panel + size_t(blocks) * size.quants, *supers = scales + size_t(blocks) * size.scales;
  for (int block = 0; block < blocks; ++block) {
    const uint8_t* from = file + size_t(block / subs) * info(type).bytes;
    put_levels(type, read_levels(type, from, block % subs), row, panel + size_t(block) * size.quants);
    put_scales(type, from, block % subs, row, scales + size_t(block) * size.scales, supers + size_t(block / subs) * size.supers);
  }
}

template <class Element>
void pack_dense(int cols, const uint8_t* file_rows, int rows, uint8_t* panel) {
  for (int row = 0; row < rows; ++row) {
    const uint8_t* from = file_rows + size_t(row) * cols * sizeof(Element);
    uint8_t* to = panel + row * sizeof(Element);
    for (int k = 0; k < cols; ++k) std::memcpy(to + size_t(k) * kPanelRows * sizeof(Element), from + k * sizeof(Element), sizeof(Element));
  }
}

}  // namespace

size_t panel_bytes(DType type, int cols) {
  const Sections size = kSections[static_cast<int>(type)];
  const size_t bytes = is_quantized(type) ? size_t(cols / kBlock) * (size.quants + size.scales) + size_t(cols / kSuperBlock) * size.supers
                                          : size_t(cols) * kPanelRows * info(type).bytes;
  return (bytes + 63) / 64 * 64;
}

void pack_panel(DType type, int cols, const uint8_t* file_rows, int rows, uint8_t* panel) {
  std::memset(panel, 0, panel_bytes(type, cols));
  if (type == DType::F32) return pack_dense<uint32_t>(cols, file_rows, rows, panel);
  if (!is_quantized(type)) return pack_dense<uint16_t>(cols, file_rows, rows, panel);
  const size_t stride = size_t(cols) / info(type).block * info(type).bytes;
  for (int row = 0; row < rows; ++row) pack_row(type, cols, file_rows + row * stride, row, panel);
}

}  // namespace kvasir::quant
