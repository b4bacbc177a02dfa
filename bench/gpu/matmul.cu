// The matmuls on the tensor cores, by themselves: npm run bench:gpu:matmul [-- check | stress | TYPE]
//
// check   y against float64 sums of the exact weights, and its bits for 1 to 700 tokens, wherever in the step: all packed formats, gated or not.
// stress  the linears of Llama-3.1-8B one after the other, thousands of times without a pause, each against its first result.
// TYPE    microseconds of Llama-3.1-8B's linears in a type (without an argument: in each), of graphs of launches on rotated weights,
//         medians of five; of a step, and its floor at 3.0 TB/s. After the check.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "cuda/kernels/formats.cuh"
#include "cuda/kernels/matmul_tensor.h"
#include "cuda/weight.h"
#include "measure.h"

namespace kvasir::cuda {
namespace {

constexpr int kMostTokens = 700;
std::mt19937 generator(1);

float uniform(float low, float high) {
  return std::uniform_real_distribution<float>(low, high)(generator);
}

uint16_t to_bf16(float value) {
  return static_cast<uint16_t>((std::bit_cast<uint32_t>(value) + 0x8000u) >> 16);
}

// Every E4M3 number but NaN, and a scale that makes them 1 or so.
void fill_e4m3(uint8_t* block) {
  const float scale = uniform(0.002f, 0.006f);
  std::memcpy(block, &scale, 4);
  for (int i = 4; i < info(DType::F8_E4M3).bytes; ++i) {
    if ((block[i] & 0x7f) == 0x7f) block[i] ^= 1;
  }
}

// A block of the file with random levels and sane scales.
void fill_block(DType type, uint8_t* block) {
  for (int i = 0; i < info(type).bytes; ++i) block[i] = static_cast<uint8_t>(generator());
  const uint16_t scale = f32_to_f16(uniform(0.002f, 0.006f)), least = f32_to_f16(uniform(0, 0.01f));
  const uint16_t half = type == DType::F16 ? f32_to_f16(uniform(-1, 1)) : to_bf16(uniform(-1, 1));
  if (is_half(type)) std::memcpy(block, &half, 2);
  if (type == DType::F8_E4M3) return fill_e4m3(block);
  if (type == DType::Q4_K) std::memcpy(block + 2, &least, 2);
  if (!is_half(type)) std::memcpy(block + (type == DType::Q6_K ? 208 : 0), &scale, 2);
}

// A matrix whose rows repeat after 1024.
Matrix random_weight(DType type, int rows, int cols) {
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
std::vector<uint16_t> to_tiles(const uint16_t* rows, int count, int cols, int stride) {
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

Exact exact_sums(const Weight& weight, const DeviceBuffer& x) {
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

double silu(double x) {
  return x / (1 + std::exp(-x));
}

// Whether a shape gives right values and a row the same bits in every step; says so.
bool check_shape(DType type, int rows, int cols, bool gated, cudaStream_t stream) {
  const Matrix weights[2] = {random_weight(type, rows, cols), random_weight(type, rows, cols)};
  std::vector<uint16_t> x(static_cast<size_t>(kMostTokens) * cols);
  for (uint16_t& value : x) value = to_bf16(uniform(-2, 2));
  const auto device_x = upload(x);
  const Exact first = exact_sums(*weights[0], *device_x), second = exact_sums(*weights[1], *device_x);
  const int stride = static_cast<int>(stride_of(cols, DType::BF16));
  const size_t count = static_cast<size_t>(kMostTokens) * rows;
  const auto run = [&](int from, int tokens) {
    const auto tiles = upload(to_tiles(&x[static_cast<size_t>(from) * cols], tokens, cols, stride));
    const DeviceBuffer y(count * sizeof(float)), up(count * sizeof(float));
    Matmul op{.x = {tiles->address(), DType::BF16, stride}, .rows = tokens, .outputs = {}};
    op.outputs[0] = {weights[0].get(), {}, {y.address(), DType::F32, rows}};
    if (gated) op.epilogue = Epilogue::Gate, op.outputs[1] = {weights[1].get(), {}, {up.address(), DType::F32, rows}};
    run_tensor(op, {}, stream);
    check(cudaStreamSynchronize(stream), "matmul");
    return download<float>(y, static_cast<size_t>(tokens) * rows);
  };
  const std::vector<float> all = run(0, kMostTokens);
  double worst = 0;
  for (size_t i = 0; i < count; ++i) {
    const double u = second.sums[i], y = gated ? silu(first.sums[i]) * u : first.sums[i];
    const double size = gated ? second.sizes[i] * std::abs(silu(first.sums[i])) + 1.1 * first.sizes[i] * std::abs(u) : first.sizes[i];
    worst = std::max(worst, std::isfinite(all[i]) ? std::abs(all[i] - y) / size : INFINITY);
  }
  int differ = 0;
  for (int tokens : {1, 2, 7, 8, 9, 16, 17, 31, 32, 33, 64, 65, 100, 128, 129, 256, 300, 512}) {
    const int from = static_cast<int>(generator() % (kMostTokens - tokens + 1));
    const std::vector<float> some = run(from, tokens);
    differ += std::memcmp(some.data(), &all[static_cast<size_t>(from) * rows], some.size() * sizeof(float)) != 0;
  }
  const bool right = worst < 0.03 && differ == 0;  // both roundings of a weight to bfloat16 are below 2^-8
  std::printf("%-5s N=%-6d K=%-6d%s error %.4f of the terms' norm, %d of 18 steps differ in bits%s\n", info(type).name, rows, cols,
              gated ? " gated" : "", worst, differ, right ? "" : "   WRONG");
  return right;
}

constexpr DType kTypes[] = {DType::BF16, DType::F16, DType::Q8_0, DType::F8_E4M3, DType::Q4_0, DType::Q5_0, DType::Q4_K, DType::Q6_K};

bool check_all(cudaStream_t stream) {
  bool right = true;
  for (DType type : kTypes) {
    right &= check_shape(type, 200, 1024, false, stream);
    right &= check_shape(type, 136, 2048, true, stream);
  }
  right &= check_shape(DType::Q4_K, 528, 14336, false, stream);
  right &= check_shape(DType::Q8_0, 48, 96, false, stream);
  right &= check_shape(DType::Q8_0, 33, 576, true, stream);
  right &= check_shape(DType::F8_E4M3, 33, 576, true, stream);
  right &= check_shape(DType::F8_E4M3, 528, 14336, false, stream);
  right &= check_shape(DType::BF16, 17, 1096, false, stream);
  right &= check_shape(DType::Q8_0, 4096, 512, true, stream);
  return right;
}

struct Shape {
  const char* name;
  int rows, cols;
  int matrices;
  int times;  // in a step
};
constexpr Shape kShapes[] = {{"qkv", 6144, 4096, 1, 32},
                             {"o", 4096, 4096, 1, 32},
                             {"gate_up", 14336, 4096, 2, 32},
                             {"down", 4096, 14336, 1, 32},
                             {"lm_head", 128256, 4096, 1, 1}};

// Microseconds of a launch.
double time_shape(const Shape& shape, const std::vector<Matrix>& weights, int tokens, const DeviceBuffer& x, const DeviceBuffer& y,
                  cudaStream_t stream) {
  const int copies = static_cast<int>(weights.size()) / shape.matrices, launches = std::max(copies, tokens > 256 ? 4 : 24);
  const auto launch = [&](int i) {
    Matmul op{.x = {x.address(), DType::BF16, shape.cols}, .rows = tokens, .outputs = {}};
    for (int m = 0; m < shape.matrices; ++m) {
      op.outputs[m] = {
          weights[i % copies * shape.matrices + m].get(), {}, {y.address(), shape.matrices == 2 ? DType::BF16 : DType::F32, shape.rows}};
    }
    if (shape.matrices == 2) op.epilogue = Epilogue::Gate;
    run_tensor(op, {}, stream);
  };
  return time_launches(launch, launches, stream);
}

void time_type(DType type, const DeviceBuffer& x, const DeviceBuffer& y, cudaStream_t stream) {
  constexpr int kTokens[] = {1, 8, 16, 32, 64, 128, 512, 2048};
  double steps[std::size(kTokens)] = {}, floor = 0;
  std::printf("\n%-14s", info(type).name);
  for (int tokens : kTokens) std::printf("%10d", tokens);
  for (const Shape& shape : kShapes) {
    const double bytes = double(shape.rows) * shape.cols * shape.matrices / info(type).block * info(type).bytes;
    const int copies = std::clamp(static_cast<int>(400e6 / bytes) + 1, 2, 12);
    std::vector<Matrix> weights;
    for (int i = 0; i < copies * shape.matrices; ++i) weights.push_back(random_weight(type, shape.rows, shape.cols));
    std::printf("\n%-14s", shape.name);
    for (size_t i = 0; i < std::size(kTokens); ++i) {
      const int tokens = shape.times == 1 ? std::min(kTokens[i], 64) : kTokens[i];  // outputs are few
      const double us = time_shape(shape, weights, tokens, x, y, stream);
      steps[i] += us * shape.times;
      std::printf("%10.1f", us);
    }
    floor += bytes * shape.times / 3.0e6;
  }
  std::printf("\n%-14s", "a step, ms");
  for (double step : steps) std::printf("%10.2f", step / 1000);
  std::printf("   floor %.2f\n", floor / 1000);
}

// gate and up of 8B, 28672 rows, in bfloat16.
void time_gemm(int tokens, cudaStream_t stream) {
  const Shape shape{"gate_up", 14336, 4096, 2, 1};
  std::vector<Matrix> weights;
  for (int i = 0; i < shape.matrices; ++i) weights.push_back(random_weight(DType::BF16, shape.rows, shape.cols));
  std::vector<uint16_t> values(size_t(tokens) * shape.cols);
  for (uint16_t& value : values) value = to_bf16(uniform(-2, 2));
  const auto x = upload(values);
  const DeviceBuffer y(size_t(tokens) * shape.rows * sizeof(uint16_t));
  const double us = time_shape(shape, weights, tokens, *x, y, stream);
  std::printf("kvasir bf16 %d x (28672, 4096), gated  %8.1f us %4.0f TFLOP/s\n", tokens, us, 2.0 * tokens * 28672 * 4096 / us / 1e6);
}

__global__ void count_differences(const uint32_t* a, const uint32_t* b, size_t count, unsigned long long* differences) {
  unsigned long long own = 0;
  for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < count; i += size_t(gridDim.x) * blockDim.x) own += a[i] != b[i];
  if (own > 0) atomicAdd(differences, own);
}

// Whether a step's linears give the same bits whenever they run, each beginning before the one before has ended.
bool stress(DType type, int tokens, int steps, cudaStream_t stream) {
  struct Linear {
    const Shape& shape;
    std::vector<Matrix> weights;
    size_t bytes;
    DeviceBuffer y, first;
  };
  std::vector<std::unique_ptr<Linear>> linears;
  for (const Shape& shape : kShapes) {
    std::vector<Matrix> weights;
    for (int i = 0; i < shape.matrices; ++i) weights.push_back(random_weight(type, shape.rows, shape.cols));
    const size_t bytes = std::max(matrix_bytes(tokens, shape.rows, DType::F32), matrix_bytes(tokens, shape.rows, DType::BF16));
    linears.emplace_back(new Linear{shape, std::move(weights), bytes, DeviceBuffer(bytes), DeviceBuffer(bytes)});
  }
  std::vector<uint16_t> values(matrix_bytes(tokens, 14336, DType::BF16) / 2);
  for (uint16_t& value : values) value = to_bf16(uniform(-2, 2));
  const auto x = upload(values);
  const auto counted = upload(std::vector<unsigned long long>{0});
  const auto run = [&](const Linear& linear) {
    Matmul op{.x = {x->address(), DType::BF16, linear.shape.cols}, .rows = tokens, .outputs = {}};
    const DType of_y = linear.shape.matrices == 2 ? DType::BF16 : DType::F32;
    for (int m = 0; m < linear.shape.matrices; ++m)
      op.outputs[m] = {linear.weights[m].get(), {}, {linear.y.address(), of_y, linear.shape.rows}};
    if (linear.shape.matrices == 2) op.epilogue = Epilogue::Gate;
    run_tensor(op, {}, stream);
  };
  for (int step = 0; step < steps; ++step) {
    for (const auto& linear : linears) check(cudaMemsetAsync(linear->y.address(), 0xff, linear->bytes, stream), "poison");
    for (const auto& linear : linears) run(*linear);
    for (const auto& linear : linears) {
      if (step == 0) {
        check(cudaMemcpyAsync(linear->first.address(), linear->y.address(), linear->bytes, cudaMemcpyDeviceToDevice, stream),
              "first result");
      } else {
        count_differences<<<256, 256, 0, stream>>>(static_cast<const uint32_t*>(linear->y.address()),
                                                   static_cast<const uint32_t*>(linear->first.address()), linear->bytes / 4,
                                                   static_cast<unsigned long long*>(counted->address()));
      }
    }
    if (step % 100 == 0) check(cudaStreamSynchronize(stream), "stress");
  }
  check(cudaStreamSynchronize(stream), "stress");
  const unsigned long long differences = download<unsigned long long>(*counted, 1)[0];
  std::printf("stress %s, %d tokens, %d steps: %llu words differ%s\n", info(type).name, tokens, steps, differences,
              differences == 0 ? "" : "   WRONG");
  return differences == 0;
}

bool stress_all(cudaStream_t stream) {
  bool right = true;
  for (DType type : {DType::BF16, DType::Q8_0, DType::Q4_K}) {
    for (int tokens : {1, 8, 16, 64, 512}) right &= stress(type, tokens, tokens > 64 ? 300 : 3000, stream);
  }
  return right;
}

int benchmark(const std::string& what) {
  cudaStream_t stream;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream");
  if (what == "stress") return stress_all(stream) ? 0 : 1;
  if (!check_all(stream)) return 1;
  if (what == "check") return 0;
  std::vector<uint16_t> values(size_t(2048) * 14336);
  for (uint16_t& value : values) value = to_bf16(uniform(-2, 2));
  const auto x = upload(values);
  const DeviceBuffer y(size_t(2048) * 14336 * sizeof(float));
  for (DType type : {DType::Q8_0, DType::F8_E4M3, DType::Q4_0, DType::Q4_K, DType::BF16}) {
    if (what.empty() || what == info(type).name) time_type(type, *x, y, stream);
  }
  if (!what.empty()) return 0;
  for (int tokens : {2048, 8192}) time_gemm(tokens, stream);
  return 0;
}

}  // namespace
}  // namespace kvasir::cuda

int main(int count, char** arguments) {
  return kvasir::cuda::run_benchmark(kvasir::cuda::benchmark, count, arguments);
}
