// Repacking of weights on the device: one thread a lane of a chunk, gathering its levels and scales from the file's rows. Done at load.
#include "cuda/kernels/formats.cuh"
#include "cuda/weight.h"

namespace kvasir::cuda {
namespace {

struct FileRows {
  const uint8_t* data;
  int64_t stride;
  int count;
  int cols;
};

// k of (lane, step, j) in a chunk: the inverse of place_of.
__device__ int k_of(int lane, int step, int j) {
  return step / 2 * 32 + lane % 4 * 8 + step % 2 * 4 + j;
}

// The level of (register, half) in a step of a lane; 0 beyond the matrix, where scales are 0, too.
template <DType type>
__device__ int level_of(const FileRows& rows, int panel, int chunk, int lane, int step, int reg, int half) {
  const int row = panel * kPanelRows + lane / 4 + reg % 2 * 8, k = chunk * kChunk + k_of(lane, step, reg / 2 * 2 + half);
  if (row >= rows.count || k >= rows.cols) return type == DType::Q8_0 ? 128 : 0;
  return file_level<type>(rows.data + row * rows.stride, k);
}

// The scales of a chunk: lane i writes those of row i % 16 in block i / 16 (Q6_K: blocks i / 16 and i / 16 + 2). F8_E4M3 has one block of
// 64: lanes below 16 write its scales.
template <DType type>
__device__ void pack_scales(const FileRows& rows, int panel, int chunk, int lane, uint8_t* scales) {
  const int r = lane % 16, row = panel * kPanelRows + r;
  const uint8_t* from = rows.data + row * rows.stride;
  constexpr int size = type == DType::F8_E4M3 ? 64 : type == DType::Q6_K ? 16 : 32;
  for (int block = lane / 16; block < kChunk / size; block += 2) {
    const int k = chunk * kChunk + block * size;
    const bool inside = row < rows.count && k < rows.cols;
    if constexpr (type == DType::F8_E4M3) {
      reinterpret_cast<float*>(scales)[r % 8 * 2 + r / 8] = inside ? *reinterpret_cast<const float*>(file_block<type>(from, k)) : 0;
    } else {
      auto* to = reinterpret_cast<uint16_t*>(scales);
      const BlockValues values = inside ? block_values<type>(from, k) : BlockValues{};
      to[place_of_scale(type, block, r)] = __bfloat16_as_ushort(__float2bfloat16_rn(values.scale * scale_factor(type, r)));
      if (type == DType::Q4_K)
        to[place_of_scale(type, block, r, 1)] = __bfloat16_as_ushort(__float2bfloat16_rn(values.min / unit_of(type)));
    }
  }
}

// One warp a chunk of a panel.
template <DType type>
__global__ void pack(FileRows rows, uint8_t* panels, int64_t stride) {
  const int chunks = chunks_of(rows.cols), panel = blockIdx.x / chunks, chunk = blockIdx.x % chunks, lane = threadIdx.x;
  uint8_t* to = panels + panel * stride + int64_t(chunk) * chunk_bytes(type);
  auto* words = reinterpret_cast<uint32_t*>(to);
  for (int step = 0; step < 4; ++step) {
    uint32_t low = 0, high = 0;
    for (int reg = 0; reg < 4; ++reg) {
      for (int half = 0; half < 2; ++half) {
        if constexpr (is_half(type)) {
          const int row = panel * kPanelRows + lane / 4 + reg % 2 * 8, k = chunk * kChunk + k_of(lane, step, reg / 2 * 2 + half);
          const bool inside = row < rows.count && k < rows.cols;
          reinterpret_cast<uint16_t*>(to + step * 512 + reg * 128 + lane * 4)[half] =
              inside ? reinterpret_cast<const uint16_t*>(rows.data + row * rows.stride)[k] : 0;
        } else {
          const int level = level_of<type>(rows, panel, chunk, lane, step, reg, half);
          if constexpr (has_bytes(type)) {
            to[step / 2 * 512 + lane * 16 + step % 2 * 8 + place_of_byte(type, reg, half)] = static_cast<uint8_t>(level);
          } else {
            low |= static_cast<uint32_t>(level & 15) << 4 * (reg + 4 * half);
            if constexpr (type == DType::Q5_0) high |= static_cast<uint32_t>(level >> 4) << (reg + 4 * step + 16 * half);
            if constexpr (type == DType::Q6_K) high |= static_cast<uint32_t>(level >> 4) << (2 * reg + 8 * (step % 2) + 16 * half);
          }
        }
      }
    }
    if constexpr (!is_half(type) && !has_bytes(type)) words[lane * 4 + step] = low;
    if constexpr (type == DType::Q5_0) words[128 + lane] = step == 0 ? high : words[128 + lane] | high;
    if constexpr (type == DType::Q6_K) {
      uint32_t& word = words[128 + lane * 2 + step / 2];
      word = step % 2 == 0 ? high : word | high;
    }
  }
  if constexpr (!is_half(type)) pack_scales<type>(rows, panel, chunk, lane, to + packed_sizes(type).quants);
}

constexpr int kMostRows = 65535 * 64;  // far above any model's, and below what the kernels' grids and 32-bit numbers of rows hold

}  // namespace

std::unique_ptr<DeviceWeight> create_weight(DType type, Compute compute, int rows, int cols) {
  if (rows > kMostRows) fail("UNSUPPORTED_MODEL", "a matrix has %d rows; expected at most %d on device cuda", rows, kMostRows);
  auto weight = std::make_unique<DeviceWeight>();
  weight->type = type;
  weight->compute = compute;
  weight->rows = rows;
  weight->cols = cols;
  weight->packed = is_packed(type) && compute == Compute::BF16;
  weight->stride = weight->packed ? packed_panel_bytes(type, cols) : int64_t(cols) / info(type).block * info(type).bytes;
  weight->bytes = static_cast<size_t>(weight->stride) * (weight->packed ? panels_of(rows) : rows);
  weight->data = std::make_unique<DeviceBuffer>(weight->bytes);
  return weight;
}

void pack_rows(const DeviceWeight& weight, int first, int count, const uint8_t* file_rows, cudaStream_t stream) {
  const int64_t row_bytes = int64_t(weight.cols) / info(weight.type).block * info(weight.type).bytes;
  auto* data = static_cast<uint8_t*>(weight.data->address());
  if (!weight.packed) {
    check(cudaMemcpyAsync(data + first * weight.stride, file_rows, count * row_bytes, cudaMemcpyDeviceToDevice, stream), "placing rows");
    return;
  }
  const FileRows rows{file_rows, row_bytes, count, weight.cols};
  const dim3 grid(chunks_of(weight.cols) * panels_of(count));
  with_type(weight.type, [&](auto type) {
    if constexpr (is_packed(type)) pack<type><<<grid, 32, 0, stream>>>(rows, data + first / kPanelRows * weight.stride, weight.stride);
  });
  check_launch("repacking");
}

}  // namespace kvasir::cuda
