#pragma once
// Whether the matmuls on the tensor cores are right: y against float64 sums of the exact weights, and a row's bits in every step.
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
inline const SplitSums& the_split_sums() {
  static const DeviceBuffer buffer(SplitSums::kBytes);
  static const SplitSums sums(buffer.address());
  return sums;
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

// A matrix whose rows repeat after 1024.
inline Matrix random_weight(DType type, int rows, int cols) {
  auto weight = create_weight(type, Compute::BF16, rows, cols);
  const int part = std::min(rows, 1024);
  std::vector<uint8_t> file(static_cast<size_t>(part) * cols / info(type).block * info(type).bytes);
  for (size_t at = 0; at < file.size(); at += info(type).bytes) fill_block(type, &file[at]);
  const auto raw = upload(file);
  for (int row = 0; row < rows; row += part) {
    pack_rows(*weight, row, std::min(part, rows - row), static_cast<const uint8_t*>(raw->address()), nullptr);
  }
  check(cudaDeviceSynchronize(), "packing");
  return weight;
}

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

inline double silu(double x) {
  return x / (1 + std::exp(-x));
}

// How far a sum may be off, of its terms' norm: both roundings of a weight to bfloat16 are below 2^-8.
inline constexpr double kMostError = 0.03;

// What the error of silu(gate) * up is measured by, sums whose terms have these norms: that of either factor, and the product of both
// errors.
inline double size_of_gated(double gate, double gate_size, double up, double up_size) {
  constexpr double kSlope = 1.1;  // of silu, at most
  return up_size * std::abs(silu(gate)) + kSlope * gate_size * (std::abs(up) + kMostError * up_size);
}

// Whether a shape gives right values and a row the same bits in every step; says so.
inline bool check_shape(DType type, int rows, int cols, bool gated, cudaStream_t stream) {
  const Matrix weights[2] = {random_weight(type, rows, cols), random_weight(type, rows, cols)};
  std::vector<uint16_t> x(static_cast<size_t>(kMostTokens) * cols);
  for (uint16_t& value : x) value = to_bf16(uniform(-2, 2));
  const auto device_x = upload(x);
  const Exact first = exact_sums(*weights[0], *device_x), second = exact_sums(*weights[1], *device_x);
  const int stride = static_cast<int>(stride_of(cols, DType::BF16));
  const size_t count = static_cast<size_t>(kMostTokens) * rows;
  const auto run = [&](int from, int tokens, const SplitSums& split = {}) {
    const auto tiles = upload(to_tiles(&x[static_cast<size_t>(from) * cols], tokens, cols, stride));
    const DeviceBuffer y(count * sizeof(float)), up(count * sizeof(float));
    Matmul op{.x = {tiles->address(), DType::BF16, stride}, .rows = tokens, .outputs = {}};
    op.outputs[0] = {weights[0].get(), {}, {y.address(), DType::F32, rows}};
    if (gated) op.epilogue = Epilogue::Gate, op.outputs[1] = {weights[1].get(), {}, {up.address(), DType::F32, rows}};
    run_tensor(op, {}, split, stream);
    check(cudaStreamSynchronize(stream), "matmul");
    return download<float>(y, static_cast<size_t>(tokens) * rows);
  };
  const std::vector<float> all = run(0, kMostTokens);
  double worst = 0;
  for (size_t i = 0; i < count; ++i) {
    const double u = second.sums[i], y = gated ? silu(first.sums[i]) * u : first.sums[i];
    const double size = gated ? size_of_gated(first.sums[i], first.sizes[i], u, second.sizes[i]) : first.sizes[i];
    worst = std::max(worst, std::isfinite(all[i]) ? std::abs(all[i] - y) / size : INFINITY);
  }
  int differ = 0;
  for (int tokens : {1, 2, 7, 8, 9, 16, 17, 31, 32, 33, 64, 65, 100, 128, 129, 256, 300, 512, 599}) {
    const int from = static_cast<int>(generator() % (kMostTokens - tokens + 1));
    for (const SplitSums& split : {SplitSums(), the_split_sums()}) {
      const std::vector<float> some = run(from, tokens, split);
      differ += std::memcmp(some.data(), &all[static_cast<size_t>(from) * rows], some.size() * sizeof(float)) != 0;
    }
  }
  const bool right = worst < kMostError && differ == 0;
  std::printf("%-5s N=%-6d K=%-6d%s error %.4f of the terms' norm, %d of 38 steps differ in bits%s\n", info(type).name, rows, cols,
              gated ? " gated" : "", worst, differ, right ? "" : "   WRONG");
  return right;
}

// A matmul with a bias, the add_norm that adds what it makes, and a matmul that reads the norm, as a step runs them: whether the residual
// and the result are right, and a row's bits are the same in every step. `hidden` is the norm's width, `rows` those of the last matmul, or
// of each of gate and up.
inline bool check_norm(DType type, int hidden, int rows, bool gated, cudaStream_t stream) {
  constexpr int kCols = 512;
  constexpr float kEpsilon = 1e-5f;
  const Matrix before = random_weight(type, hidden, kCols), after = random_weight(type, rows, hidden),
               up = random_weight(type, rows, hidden);
  std::vector<uint16_t> inputs(size_t(kMostTokens) * kCols);
  for (uint16_t& value : inputs) value = to_bf16(uniform(-2, 2));
  std::vector<float> residual(size_t(kMostTokens) * hidden), weight(hidden), bias(hidden);
  for (float& value : residual) value = uniform(-20, 20);
  for (float& value : weight) value = uniform(-2, 2);
  for (float& value : bias) value = uniform(-5, 5);
  const auto device_weight = upload(weight), device_bias = upload(bias);
  const int in_stride = static_cast<int>(stride_of(kCols, DType::BF16)), stride = static_cast<int>(stride_of(hidden, DType::BF16));
  const DeviceBuffer scales(floats_of_scales(kMostTokens, hidden) * sizeof(float));
  struct Step {
    std::vector<float> y, residual;
  };
  const auto run = [&](int from, int tokens) {
    const auto tiles = upload(to_tiles(&inputs[size_t(from) * kCols], tokens, kCols, in_stride));
    const auto x = upload(std::vector<float>(&residual[size_t(from) * hidden], &residual[size_t(from + tokens) * hidden]));
    const DeviceBuffer delta(size_t(tokens) * hidden * sizeof(float)), y(matrix_bytes(tokens, hidden, DType::BF16));
    const DeviceBuffer out(size_t(tokens) * rows * sizeof(float)), spare(size_t(tokens) * rows * sizeof(float));
    const View normed{y.address(), DType::BF16, stride};
    Matmul first{.x = {tiles->address(), DType::BF16, in_stride}, .rows = tokens, .outputs = {}};
    first.outputs[0] = {before.get(), {device_bias->address()}, {delta.address(), DType::F32, hidden}};
    const AddNorm norm{.x = {x->address(), DType::F32, hidden},
                       .delta = first.outputs[0].y,
                       .delta_scale = 0.5f,
                       .y = normed,
                       .weight = {device_weight->address()},
                       .rows = tokens,
                       .cols = hidden,
                       .norm = {NormKind::Rms, kEpsilon}};
    Matmul second{.x = normed, .rows = tokens, .outputs = {}};
    second.outputs[0] = {after.get(), {}, {out.address(), DType::F32, rows}};
    if (gated) second.epilogue = Epilogue::Gate, second.outputs[1] = {up.get(), {}, {spare.address(), DType::F32, rows}};
    check(cudaMemsetAsync(scales.address(), 0xff, floats_of_scales(kMostTokens, hidden) * sizeof(float), stream), "poison");
    check(cudaMemsetAsync(y.address(), 0xff, matrix_bytes(tokens, hidden, DType::BF16), stream), "poison");
    const RowScales left = cuda::run(first, norm, stream, {}, static_cast<float*>(scales.address()), the_split_sums());
    run_tensor(second, {.scales = left}, the_split_sums(), stream);
    check(cudaStreamSynchronize(stream), "a norm between matmuls");
    return Step{download<float>(out, size_t(tokens) * rows), download<float>(*x, size_t(tokens) * hidden)};
  };
  const auto [all, sums] = run(0, kMostTokens);

  const Exact deltas = exact_sums(*before, *upload(inputs));
  std::vector<uint16_t> scaled(residual.size());
  std::vector<double> of_rows(kMostTokens);
  double worst = 0;
  for (int token = 0; token < kMostTokens; ++token) {
    double squares = 0;
    for (size_t i = size_t(token) * hidden; i < size_t(token + 1) * hidden; ++i) {
      const double x = residual[i] + 0.5 * (deltas.sums[i] + bias[i % hidden]),
                   error = std::abs(sums[i] - x) / (0.5 * deltas.sizes[i] + 1e-4);
      worst = std::max(worst, std::isfinite(sums[i]) ? error : INFINITY);
      squares += x * x;
      scaled[i] = to_bf16(static_cast<float>(x * weight[i % hidden]));
    }
    of_rows[token] = 1 / std::sqrt(squares / hidden + kEpsilon);
  }
  const auto exact_x = upload(scaled);
  const Exact exact = exact_sums(*after, *exact_x), exact_up = gated ? exact_sums(*up, *exact_x) : Exact{};
  for (size_t i = 0; i < all.size(); ++i) {
    const double scale = of_rows[i / size_t(rows)], sum = scale * exact.sums[i], size = scale * exact.sizes[i];
    const double u = gated ? scale * exact_up.sums[i] : 1, u_size = gated ? scale * exact_up.sizes[i] : 0;
    const double expected = gated ? silu(sum) * u : sum, most = gated ? size_of_gated(sum, size, u, u_size) : size;
    worst = std::max(worst, std::isfinite(all[i]) ? std::abs(all[i] - expected) / most : INFINITY);
  }
  int differ = 0;
  for (int tokens : {1, 3, 8, 9, 16, 17, 33, 64, 100, 128, 300, 512, 600}) {
    const int from = static_cast<int>(generator() % (kMostTokens - tokens + 1));
    const auto [y, x] = run(from, tokens);
    differ += std::memcmp(y.data(), &all[size_t(from) * rows], y.size() * sizeof(float)) != 0 ||
              std::memcmp(x.data(), &sums[size_t(from) * hidden], x.size() * sizeof(float)) != 0;
  }
  const bool right = worst < kMostError && differ == 0;
  std::printf("%-5s norm of %-6d before N=%-6d%s error %.4f of the terms' norm, %d of 13 steps differ in bits%s\n", info(type).name, hidden,
              rows, gated ? " gated" : "", worst, differ, right ? "" : "   WRONG");
  return right;
}

inline constexpr DType kTypes[] = {DType::BF16, DType::F16,  DType::Q8_0, DType::F8_E4M3,
                                   DType::Q4_0, DType::Q5_0, DType::Q4_K, DType::Q6_K};

// Whether blocks that shared tiles have left their counts as they were.
inline bool counts_are_zero() {
  std::vector<uint32_t> counts(SplitSums::kMostPanels);
  check(cudaMemcpy(counts.data(), the_split_sums().arrived, counts.size() * sizeof(uint32_t), cudaMemcpyDeviceToHost), "counts");
  const bool right = std::ranges::all_of(counts, [](uint32_t count) { return count == 0; });
  if (!right) std::printf("counts of shared tiles are left   WRONG\n");
  return right;
}

inline bool check_all(cudaStream_t stream) {
  bool right = true;
  for (DType type : kTypes) {
    right &= check_shape(type, 200, 1024, false, stream);
    right &= check_shape(type, 136, 2048, true, stream);
    right &= check_norm(type, 1024, 96, false, stream) & check_norm(type, 512, 6400, true, stream);
  }
  for (int hidden : {16, 72, 960, 4104, 8192, 9216}) right &= check_norm(DType::BF16, hidden, 96, false, stream);
  for (DType type : kTypes) right &= check_norm(type, 4096, 96, false, stream);  // by tiles of prompts
  // By tiles of 192 tokens, which 600 and 700 tokens of so many rows run on one round: rows that fill no panel, few k, norms.
  right &= check_shape(DType::BF16, 3799, 1088, false, stream) & check_shape(DType::BF16, 3840, 320, false, stream);
  right &= check_shape(DType::BF16, 1903, 576, true, stream) & check_norm(DType::BF16, 3840, 3832, false, stream);
  right &= check_norm(DType::BF16, 3760, 96, false, stream) & check_norm(DType::BF16, 512, 1916, true, stream);
  right &= check_norm(DType::Q8_0, 512, 24320, false, stream) & check_norm(DType::Q4_K, 256, 200, true, stream);
  right &= check_shape(DType::Q4_K, 528, 14336, false, stream);
  right &= check_shape(DType::Q8_0, 48, 96, false, stream);
  right &= check_shape(DType::Q8_0, 33, 576, true, stream);
  right &= check_shape(DType::F8_E4M3, 33, 576, true, stream);
  right &= check_shape(DType::F8_E4M3, 528, 14336, false, stream);
  right &= check_shape(DType::BF16, 17, 1096, false, stream);
  right &= check_shape(DType::Q8_0, 4096, 512, true, stream);
  for (DType type : {DType::BF16, DType::Q4_0}) right &= check_shape(type, 4096, 576, true, stream);  // many tiles, a group of one chunk
  right &= check_norm(DType::BF16, 320, 3900, true, stream);  // tiles without tokens, without rows, half full
  right &= counts_are_zero();
  return right;
}

}  // namespace kvasir::cuda
