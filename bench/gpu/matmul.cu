// The matmuls on the tensor cores, by themselves: npm run bench:gpu:matmul [-- check | stress | gemm | TYPE]
//
// check   y against float64 sums of the exact weights, and its bits for 1 to 700 tokens, wherever in the step: all packed formats, gated
//         or not, and with a norm between two.
// stress  the linears of Llama-3.1-8B one after the other, thousands of times without a pause, each against its first result.
// gemm    gate and up of Llama-3.1-8B, 28672 rows, in bfloat16 for many tokens. After the check.
// TYPE    microseconds of Llama-3.1-8B's linears in a type (without an argument: in each), o and down with the norm that follows, of
//         graphs of launches on rotated weights, medians of five; of a step, and its floor at 3.0 TB/s. After the check.
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>

#include "matmul_check.cuh"

namespace kvasir::cuda {
namespace {

struct Shape {
  const char* name;
  int rows, cols;
  int matrices;
  int times;  // in a step
  bool normed = false;
};
constexpr Shape kShapes[] = {{"qkv", 6144, 4096, 1, 32},
                             {"o", 4096, 4096, 1, 32, true},
                             {"gate_up", 14336, 4096, 2, 32},
                             {"down", 4096, 14336, 1, 32, true},
                             {"lm_head", 128256, 4096, 1, 1}};

// What a matmul's y is added to and how it is normed: of so many tokens and columns.
struct Residual {
  DeviceBuffer x, y, weight, scales;
  int cols;

  Residual(int tokens, int cols)
      : x(size_t(tokens) * cols * sizeof(float)),
        y(matrix_bytes(tokens, cols, DType::BF16)),
        weight(cols * sizeof(float)),
        scales(floats_of_scales(tokens, cols) * sizeof(float)),
        cols(cols) {
    check(cudaMemset(x.address(), 0, size_t(tokens) * cols * sizeof(float)), "the residual");
    check(cudaMemset(weight.address(), 0, cols * sizeof(float)), "a norm's weight");
  }

  void run(const Matmul& op, cudaStream_t stream) const {
    const AddNorm norm{.x = {x.address(), DType::F32, cols},
                       .delta = op.outputs[0].y,
                       .delta_scale = 0.01f,
                       .y = {y.address(), DType::BF16, cols},
                       .weight = {weight.address()},
                       .rows = op.rows,
                       .cols = cols,
                       .norm = {NormKind::Rms, 1e-5f}};
    cuda::run(op, norm, stream, {}, static_cast<float*>(scales.address()), the_memory());
  }
};

// Microseconds of a launch, the norm that follows it included.
double time_shape(const Shape& shape, const std::vector<Matrix>& weights, int tokens, const DeviceBuffer& x, const DeviceBuffer& y,
                  cudaStream_t stream) {
  std::optional<Residual> residual;
  if (shape.normed) residual.emplace(tokens, shape.rows);
  const int copies = static_cast<int>(weights.size()) / shape.matrices, launches = std::max(copies, tokens > 256 ? 4 : 24);
  const auto launch = [&](int i) {
    Matmul op{.x = {x.address(), DType::BF16, shape.cols}, .rows = tokens, .outputs = {}};
    for (int m = 0; m < shape.matrices; ++m) {
      op.outputs[m] = {
          weights[i % copies * shape.matrices + m].get(), {}, {y.address(), shape.matrices == 2 ? DType::BF16 : DType::F32, shape.rows}};
    }
    if (shape.matrices == 2) op.epilogue = Epilogue::Gate;
    if (residual) return residual->run(op, stream);
    run_tensor(op, {}, the_memory(), stream);
  };
  return time_launches(launch, launches, stream);
}

constexpr int kMostTimed = 4096;

void time_type(DType type, const DeviceBuffer& x, const DeviceBuffer& y, cudaStream_t stream) {
  constexpr int kTokens[] = {1, 8, 16, 32, 64, 128, 512, kMostTimed};
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
    run_tensor(op, {}, the_memory(), stream);
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
    for (int tokens : {1, 8, 16, 32, 64, 128, 512}) right &= stress(type, tokens, tokens > 64 ? 300 : 3000, stream);
  }
  // Tiles of 192 tokens, one of which has none; but for bfloat16 of unpacked weights.
  for (DType type : {DType::BF16, DType::Q8_0, DType::Q4_K}) right &= stress(type, 3900, 100, stream);
  return right;
}

int benchmark(const std::string& what) {
  cudaStream_t stream;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream");
  if (what == "stress") return stress_all(stream) ? 0 : 1;
  if (!check_all(stream)) return 1;
  if (what == "check") return 0;
  if (what.empty() || what == "gemm") {
    for (int tokens : {2048, 4096, 8192}) time_gemm(tokens, stream);
  }
  if (what == "gemm") return 0;
  std::vector<uint16_t> values(size_t(kMostTimed) * 14336);
  for (uint16_t& value : values) value = to_bf16(uniform(-2, 2));
  const auto x = upload(values);
  const DeviceBuffer y(size_t(kMostTimed) * 14336 * sizeof(float));
  for (DType type : {DType::Q8_0, DType::F8_E4M3, DType::Q4_0, DType::Q4_K, DType::BF16}) {
    if (what.empty() || what == info(type).name) time_type(type, *x, y, stream);
  }
  return 0;
}

}  // namespace
}  // namespace kvasir::cuda

int main(int count, char** arguments) {
  return kvasir::cuda::run_benchmark(kvasir::cuda::benchmark, count, arguments);
}
