#pragma once
// Whether the matmuls on the tensor cores are right: y against float64 sums of the exact weights, and a row's bits in every step.
#include "matmul_reference.cuh"

namespace kvasir::cuda {

// How many elements of y in bfloat16 tiles are not those of y in float32, rounded to nearest even.
inline size_t count_unlike(const std::vector<float>& y, int tokens, int rows, const DeviceBuffer& tiles) {
  const int stride = static_cast<int>(stride_of(rows, DType::BF16));
  const auto found = download<uint16_t>(tiles, matrix_bytes(tokens, rows, DType::BF16) / 2);
  size_t unlike = 0;
  for (int token = 0; token < tokens; ++token) {
    for (int n = 0; n < rows; ++n) {
      const __nv_bfloat16 rounded = __float2bfloat16_rn(y[static_cast<size_t>(token) * rows + n]);
      unlike += found[place_in_tiles(stride, token, n)] != __bfloat16_as_ushort(rounded);
    }
  }
  return unlike;
}

// Whether a shape gives right values and a row the same bits in every step; says so.
inline bool check_shape(DType type, int rows, int cols, bool gated, cudaStream_t stream, const Gate& gate = {}) {
  const Twins weights[2] = {Twins(type, rows, cols), Twins(type, rows, cols)};
  std::vector<uint16_t> x(static_cast<size_t>(kMostTokens) * cols);
  for (uint16_t& value : x) value = to_bf16(uniform(-2, 2));
  const auto device_x = upload(x);
  const Exact first = exact_sums(*weights[0].exact, *device_x), second = exact_sums(*weights[1].exact, *device_x);
  const int stride = static_cast<int>(stride_of(cols, DType::BF16));
  const size_t count = static_cast<size_t>(kMostTokens) * rows;
  std::vector<float> biases[2] = {std::vector<float>(rows), std::vector<float>(rows)};
  for (std::vector<float>& bias : biases) {
    for (float& value : bias) value = gate.biased ? uniform(-5, 5) : 0;
  }
  const auto first_bias = upload(biases[0]), second_bias = upload(biases[1]);
  View of_first, of_second;  // nvcc 13.0 crashes where they are conditional expressions
  if (gate.biased) of_first.data = first_bias->address(), of_second.data = second_bias->address();
  const auto op_of = [&](const DeviceBuffer& tiles, int tokens, const View& y, const DeviceBuffer& up) {
    Matmul op{.x = {tiles.address(), DType::BF16, stride}, .rows = tokens, .outputs = {}, .activation = gate.activation};
    op.outputs[0] = {weights[0].packed.get(), of_first, y};
    if (gated) {
      op.epilogue = Epilogue::Gate;
      op.outputs[1] = {weights[1].packed.get(), of_second, {up.address(), DType::F32, rows}};
    }
    return op;
  };
  const auto run = [&](int from, int tokens, const MatmulMemory& memory = {}) {
    const auto tiles = upload(to_tiles(&x[static_cast<size_t>(from) * cols], tokens, cols, stride));
    const DeviceBuffer y(count * sizeof(float)), up(count * sizeof(float));
    run_tensor(op_of(*tiles, tokens, {y.address(), DType::F32, rows}, up), {}, memory, stream);
    check(cudaStreamSynchronize(stream), "matmul");
    return download<float>(y, static_cast<size_t>(tokens) * rows);
  };
  const std::vector<float> all = run(0, kMostTokens);
  double worst = 0;
  for (size_t i = 0; i < count; ++i) {
    const double sum = first.sums[i] + biases[0][i % rows], u = second.sums[i] + biases[1][i % rows];
    const double y = gated ? activated(gate.activation, sum) * u : sum;
    const double size = gated ? size_of_gated(gate.activation, sum, first.sizes[i], u, second.sizes[i]) : first.sizes[i];
    worst = std::max(worst, std::isfinite(all[i]) ? std::abs(all[i] - y) / size : INFINITY);
  }
  int differ = 0;
  for (int tokens : {1, 2, 7, 8, 9, 16, 17, 31, 32, 33, 64, 65, 100, 128, 129, 256, 300, 512, 550, 577, 599, 641}) {
    const int from = static_cast<int>(generator() % (kMostTokens - tokens + 1));
    for (const MatmulMemory& memory : {MatmulMemory(), the_memory()}) {
      const std::vector<float> some = run(from, tokens, memory);
      differ += std::memcmp(some.data(), &all[static_cast<size_t>(from) * rows], some.size() * sizeof(float)) != 0;
    }
  }
  size_t unlike = 0;
  for (int tokens : {9, 100, 550, kMostTokens}) {  // as the next matmul reads it
    if (!gated) break;
    const auto tiles = upload(to_tiles(x.data(), tokens, cols, stride));
    const DeviceBuffer y(matrix_bytes(tokens, rows, DType::BF16)), up(count * sizeof(float));
    run_tensor(op_of(*tiles, tokens, {y.address(), DType::BF16, stride_of(rows, DType::BF16)}, up), {}, the_memory(), stream);
    check(cudaStreamSynchronize(stream), "matmul");
    unlike += count_unlike(all, tokens, rows, y);
  }
  const bool right = worst < kMostError && differ == 0 && unlike == 0;
  std::printf("%-5s N=%-6d K=%-6d%s error %.4f of the terms' norm, %d of 44 steps differ in bits, %zu numbers in bfloat16%s\n",
              info(type).name, rows, cols, gated ? " gated" : "", worst, differ, unlike, right ? "" : "   WRONG");
  return right;
}

// A matmul with a bias, the add_norm that adds what it makes, and a matmul that reads the norm, as a step runs them: whether the residual
// and the result are right, and a row's bits are the same in every step. `hidden` is the norm's width, `rows` those of the last matmul, or
// of each of gate and up.
inline bool check_norm(DType type, int hidden, int rows, bool gated, cudaStream_t stream) {
  constexpr int kCols = 512;
  constexpr float kEpsilon = 1e-5f;
  const Twins before(type, hidden, kCols), after(type, rows, hidden), up(type, rows, hidden);
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
    first.outputs[0] = {before.packed.get(), {device_bias->address()}, {delta.address(), DType::F32, hidden}};
    const AddNorm norm{.x = {x->address(), DType::F32, hidden},
                       .delta = first.outputs[0].y,
                       .delta_scale = 0.5f,
                       .y = normed,
                       .weight = {device_weight->address()},
                       .rows = tokens,
                       .cols = hidden,
                       .norm = {NormKind::Rms, kEpsilon}};
    Matmul second{.x = normed, .rows = tokens, .outputs = {}};
    second.outputs[0] = {after.packed.get(), {}, {out.address(), DType::F32, rows}};
    if (gated) second.epilogue = Epilogue::Gate, second.outputs[1] = {up.packed.get(), {}, {spare.address(), DType::F32, rows}};
    check(cudaMemsetAsync(scales.address(), 0xff, floats_of_scales(kMostTokens, hidden) * sizeof(float), stream), "poison");
    check(cudaMemsetAsync(y.address(), 0xff, matrix_bytes(tokens, hidden, DType::BF16), stream), "poison");
    const RowScales left = cuda::run(first, norm, stream, {}, static_cast<float*>(scales.address()), the_memory());
    run_tensor(second, {.scales = left}, the_memory(), stream);
    check(cudaStreamSynchronize(stream), "a norm between matmuls");
    return Step{download<float>(out, size_t(tokens) * rows), download<float>(*x, size_t(tokens) * hidden)};
  };
  const auto [all, sums] = run(0, kMostTokens);

  const Exact deltas = exact_sums(*before.exact, *upload(inputs));
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
  const Exact exact = exact_sums(*after.exact, *exact_x), exact_up = gated ? exact_sums(*up.exact, *exact_x) : Exact{};
  for (size_t i = 0; i < all.size(); ++i) {
    const double scale = of_rows[i / size_t(rows)], sum = scale * exact.sums[i], size = scale * exact.sizes[i];
    const double u = gated ? scale * exact_up.sums[i] : 1, u_size = gated ? scale * exact_up.sizes[i] : 0;
    const double expected = gated ? activated(Activation::Silu, sum) * u : sum,
                 most = gated ? size_of_gated(Activation::Silu, sum, size, u, u_size) : size;
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
  check(cudaMemcpy(counts.data(), the_memory().split.arrived, counts.size() * sizeof(uint32_t), cudaMemcpyDeviceToHost), "counts");
  const bool right = std::ranges::all_of(counts, [](uint32_t count) { return count == 0; });
  if (!right) std::printf("counts of shared tiles are left   WRONG\n");
  return right;
}

// By tiles of 192 tokens, one round of the clusters that the card has: 550 tokens (of which a tile has none) to 700. Rows that fill no
// panel, no tile and not all clusters, few k, activations, norms; and 256 rows more, for which clusters of two are needed.
inline bool check_tiles_of_192(cudaStream_t stream) {
  const int clusters = prompt_clusters_bf16(), rows = clusters / 2 * 256, more = rows + 256;
  std::printf("%d clusters of four: %d rows of bfloat16\n", clusters, rows);
  bool right = check_shape(DType::BF16, rows - 169, 1088, false, stream) & check_shape(DType::BF16, rows, 320, false, stream);
  right &= check_shape(DType::BF16, rows / 2 - 17, 576, true, stream) & check_norm(DType::BF16, rows, 3832, false, stream);
  right &= check_shape(DType::BF16, rows / 2 - 81, 320, true, stream, {Activation::Gelu, true});
  right &= check_shape(DType::BF16, rows / 2, 320, true, stream, {Activation::GeluTanh, true});
  right &= check_norm(DType::BF16, rows - 208, 96, false, stream) & check_norm(DType::BF16, 512, rows / 2 - 68, true, stream);
  right &= check_shape(DType::BF16, more - 169, 1088, false, stream) & check_shape(DType::BF16, more / 2 - 17, 576, true, stream);
  right &= check_norm(DType::BF16, more - 208, 96, false, stream) & check_norm(DType::BF16, 512, more / 2 - 68, true, stream);
  for (DType type : kTypes) {  // whose weights are unpacked for as many tokens
    if (type == DType::BF16) continue;
    right &= check_shape(type, rows - 169, 768, false, stream) & check_shape(type, more / 2 - 17, 512, true, stream);
    right &= check_norm(type, more, 96, false, stream);
  }
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
  right &= check_tiles_of_192(stream);
  right &= check_norm(DType::Q8_0, 512, 24320, false, stream) & check_norm(DType::Q4_K, 256, 200, true, stream);
  right &= check_shape(DType::Q4_K, 528, 14336, false, stream);
  right &= check_shape(DType::Q8_0, 48, 96, false, stream);
  right &= check_shape(DType::Q8_0, 33, 576, true, stream);
  right &= check_shape(DType::F8_E4M3, 33, 576, true, stream);
  right &= check_shape(DType::F8_E4M3, 528, 14336, false, stream);
  right &= check_shape(DType::BF16, 17, 1096, false, stream);
  right &= check_shape(DType::Q8_0, 4096, 512, true, stream);
  for (DType type : {DType::BF16, DType::Q4_0}) right &= check_shape(type, 4096, 576, true, stream);  // many tiles, a group of one chunk
  right &= check_norm(DType::BF16, 320, 3900, true, stream);
  for (DType type : {DType::BF16, DType::Q4_K}) right &= check_shape(type, 2048, 512, true, stream, {Activation::Gelu, true});
  right &= counts_are_zero();
  return right;
}

}  // namespace kvasir::cuda
