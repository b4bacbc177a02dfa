#pragma once
// What the matmuls on the tensor cores are compared with: random weights, and float64 sums of the exact ones.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "cuda/kernels.h"
#include "cuda/kernels/formats.cuh"
#include "cuda/kernels/matmul_tensor.h"
#include "cuda/weight.h"
#include "measure.h"

namespace kvasir::cuda {

inline constexpr int kMostTokens = 700;
inline std::mt19937 generator(1);

// Of the only stream; first asked for where no launches are recorded.
inline const MatmulMemory& the_memory() {
  static const DeviceBuffer buffer(SplitSums::kBytes);
  static Scratch scratch;
  static const MatmulMemory memory{SplitSums(buffer.address()), &scratch};
  return memory;
}

inline float uniform(float low, float high) {
  return std::uniform_real_distribution<float>(low, high)(generator);
}

inline uint16_t to_bf16(float value) {
  return static_cast<uint16_t>((std::bit_cast<uint32_t>(value) + 0x8000u) >> 16);
}

// Every E4M3 number but NaN, and a scale that makes them 1 or so.
inline void fill_e4m3(uint8_t* block) {
  const float scale = uniform(0.002f, 0.006f);
  std::memcpy(block, &scale, 4);
  for (int i = 4; i < info(DType::F8_E4M3).bytes; ++i) {
    if ((block[i] & 0x7f) == 0x7f) block[i] ^= 1;
  }
}

// A block of the file with random levels and sane scales.
inline void fill_block(DType type, uint8_t* block) {
  for (int i = 0; i < info(type).bytes; ++i) block[i] = static_cast<uint8_t>(generator());
  const uint16_t scale = f32_to_f16(uniform(0.002f, 0.006f)), least = f32_to_f16(uniform(0, 0.01f));
  const uint16_t half = type == DType::F16 ? f32_to_f16(uniform(-1, 1)) : to_bf16(uniform(-1, 1));
  if (is_half(type)) std::memcpy(block, &half, 2);
  if (type == DType::F8_E4M3) return fill_e4m3(block);
  if (type == DType::Q4_K) std::memcpy(block + 2, &least, 2);
  if (!is_half(type)) std::memcpy(block + (type == DType::Q6_K ? 208 : 0), &scale, 2);
}

// Rows of random blocks, as a file has them.
inline std::vector<uint8_t> random_rows(DType type, int rows, int cols) {
  std::vector<uint8_t> file(static_cast<size_t>(rows) * cols / info(type).block * info(type).bytes);
  for (size_t at = 0; at < file.size(); at += info(type).bytes) fill_block(type, &file[at]);
  return file;
}

// A matrix of such rows, again and again.
inline Matrix weight_of(const std::vector<uint8_t>& file, DType type, Compute compute, int rows, int cols) {
  auto weight = create_weight(type, compute, rows, cols);
  const int part = static_cast<int>(file.size() / (static_cast<size_t>(cols) / info(type).block * info(type).bytes));
  const auto raw = upload(file);
  for (int row = 0; row < rows; row += part) {
    pack_rows(*weight, row, std::min(part, rows - row), static_cast<const uint8_t*>(raw->address()), nullptr);
  }
  check(cudaDeviceSynchronize(), "packing");
  return weight;
}

inline constexpr int kMostRandomRows = 1024;  // then they repeat

inline Matrix random_weight(DType type, int rows, int cols) {
  return weight_of(random_rows(type, std::min(rows, kMostRandomRows), cols), type, Compute::BF16, rows, cols);
}

// A matrix as it is multiplied, and one of the same rows as they are in the file.
struct Twins {
  Matrix packed, exact;

  Twins(DType type, int rows, int cols) {
    const std::vector<uint8_t> file = random_rows(type, std::min(rows, kMostRandomRows), cols);
    packed = weight_of(file, type, Compute::BF16, rows, cols), exact = weight_of(file, type, Compute::F32, rows, cols);
  }
};

// Rows of bfloat16 as the back end keeps them; what is padding is NaN.
inline std::vector<uint16_t> to_tiles(const uint16_t* rows, int count, int cols, int stride) {
  std::vector<uint16_t> tiles(matrix_bytes(count, stride, DType::BF16) / 2, 0x7fff);
  for (int row = 0; row < count; ++row) {
    for (int col = 0; col < cols; ++col) tiles[place_in_tiles(stride, row, col)] = rows[static_cast<size_t>(row) * cols + col];
  }
  return tiles;
}

// Of each (token, n): the sum of exact products, and the root of the sum of their squares.
template <DType type>
__global__ void add_exactly(WeightView weight, const __nv_bfloat16* x, double* sums, double* sizes) {
  double sum = 0, size = 0;
  for (int k = threadIdx.x; k < weight.cols; k += kWarp) {
    const double term = double(element<type>(weight, blockIdx.x, k)) * double(__bfloat162float(x[int64_t(blockIdx.y) * weight.cols + k]));
    sum += term, size += term * term;
  }
  for (int apart = 16; apart > 0; apart /= 2) {
    sum += __shfl_xor_sync(0xffffffffu, sum, apart), size += __shfl_xor_sync(0xffffffffu, size, apart);
  }
  if (threadIdx.x > 0) return;
  sums[int64_t(blockIdx.y) * weight.rows + blockIdx.x] = sum, sizes[int64_t(blockIdx.y) * weight.rows + blockIdx.x] = sqrt(size);
}

struct Exact {
  std::vector<double> sums, sizes;
};

inline Exact exact_sums(const Weight& weight, const DeviceBuffer& x) {
  const size_t count = static_cast<size_t>(kMostTokens) * weight.rows;
  const DeviceBuffer sums(count * sizeof(double)), sizes(count * sizeof(double));
  with_packed_type(weight.type, [&](auto type) {
    add_exactly<type><<<dim3(weight.rows, kMostTokens), kWarp>>>(view_of(weight), static_cast<const __nv_bfloat16*>(x.address()),
                                                                 static_cast<double*>(sums.address()),
                                                                 static_cast<double*>(sizes.address()));
  });
  check_launch("exact sums");
  return {download<double>(sums, count), download<double>(sizes, count)};
}

inline double activated(Activation activation, double x) {
  if (activation == Activation::Gelu) return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
  const double u = activation == Activation::Silu ? x : std::sqrt(8 / M_PI) * (x + 0.044715 * x * x * x);
  return x / (1 + std::exp(-u));
}
// Of gate and up; and their biases.
struct Gate {
  Activation activation = Activation::Silu;
  bool biased = false;
};

// How far a sum may be off, of its terms' norm: both roundings of a weight to bfloat16 are below 2^-8.
inline constexpr double kMostError = 0.03;

// What the error of activation(gate) * up is measured by, sums whose terms have these norms: that of either factor, and the product of
// both errors.
inline double size_of_gated(Activation activation, double gate, double gate_size, double up, double up_size) {
  constexpr double kSlope = 1.13;  // of all activations, at most
  return up_size * std::abs(activated(activation, gate)) + kSlope * gate_size * (std::abs(up) + kMostError * up_size);
}

}  // namespace kvasir::cuda
