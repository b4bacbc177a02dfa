// Paged attention on the tensor cores, by itself: npm run bench:gpu:attention [-- check | time | HEAD_SIZE]
//
// check      rows of prompts, guesses and decode in one step: against float64 softmax over the operands as rounded, and their bits against
//            those of the other kernels and of any chunks. What no token has written is NaN, pages before a window are gone. Caches of
//            float16, bfloat16 and E4M3, scores with and without a cap, heads of every size.
// HEAD_SIZE  the same of one size.
// time       causal prefill and decode of models' shapes, of graphs of launches, medians of five.
// Without an argument: check, then time.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "attention_step.cuh"
#include "cuda/kernels.h"

namespace kvasir::cuda {
namespace {

std::mt19937 generator(1);

// The kernels of a step: those for few tokens, and for many by mma.sync, or by wgmma.
void run_sync(const Attention& op, cudaStream_t stream) {
  attend_few(op, nullptr, stream);
  attend_many(op, stream);
}
void run_wide(const Attention& op, cudaStream_t stream) {
  attend_few(op, nullptr, stream);
  attend_prompt(op, stream);
}

template <class Element>
__device__ double as_operand(float x) {
  Multiplied<Element> rounded;
  put(&rounded, x);
  return double(to_float(rounded));
}

// A block a (token, head): the exact sums over operands as the tensor cores have them.
template <class Element>
__global__ void attend_exactly(Attention op, StepView step, PageTables tables, double* out) {
  extern __shared__ double weights[];
  const int token = blockIdx.x, head = blockIdx.y, D = op.cache.head_size, kv_head = head / (op.query_heads / op.cache.kv_heads);
  const int row = step.row_of_token[token], position = step.positions[token], first = first_seen(op.window, position);
  const float* q = static_cast<const float*>(op.q.data) + token * op.q.stride + head * D;
  const float scale = op.scale * kLog2E;
  __shared__ double total;
  for (int key = first + threadIdx.x; key <= position; key += blockDim.x) {
    const auto* k = head_of<Element>(op.cache.k, op.cache, page_of(tables, row, key, kPage), kv_head);
    double score = 0;
    for (int d = 0; d < D; ++d) {
      score += as_operand<Element>(q[d] * scale) * double(to_float(k[key_place(op.cache, key, d)]));
    }
    const double cap = double(op.softcap) * kLog2E;
    weights[key - first] = exp2(cap > 0 ? cap * tanh(score / cap) : score);
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    total = 0;
    for (int i = 0; i <= position - first; ++i) total += weights[i];
  }
  __syncthreads();
  for (int d = threadIdx.x; d < D; d += blockDim.x) {
    double sum = 0;
    for (int key = first; key <= position; ++key) {
      const auto* v = head_of<Element>(op.cache.v, op.cache, page_of(tables, row, key, kPage), kv_head);
      sum += weights[key - first] * double(to_float(v[value_place(op.cache, key, d)]));
    }
    out[int64_t(token) * op.query_heads * D + head * D + d] = sum / total;
  }
}

// |out - exact| / |exact| of the worst token and head.
double worst_error(const Step& step, const std::vector<uint16_t>& out) {
  const Attention& op = step.op();
  const DeviceBuffer sums(out.size() * sizeof(double));
  with_element(op.cache.k.type, [&](auto element) {
    attend_exactly<decltype(element)><<<dim3(step.tokens(), op.query_heads), 128, 4096 * sizeof(double)>>>(
        op, view_of(*op.step), op.step->tables[0], static_cast<double*>(sums.address()));
  });
  check_launch("exact attention");
  const auto exact = download<double>(sums, out.size());
  const size_t D = op.cache.head_size;
  double worst = 0;
  for (size_t begin = 0; begin < out.size(); begin += D) {
    double error = 0, size = 0;
    for (size_t i = begin; i < begin + D; ++i) {
      const double value = std::bit_cast<float>(uint32_t(out[i]) << 16);
      error += (value - exact[i]) * (value - exact[i]), size += exact[i] * exact[i];
    }
    worst = std::max(worst, std::isfinite(error) ? std::sqrt(error / size) : INFINITY);
  }
  return worst;
}

// Tokens whose bits differ from `whole` where the chunks are cut into pieces of up to `most` tokens, one of each chunk a step; of the first
// steps and, where there are more than a few, the last.
int differing(const Cache& cache, const std::vector<Chunk>& chunks, const std::vector<uint16_t>& whole, int most, cudaStream_t stream) {
  constexpr int few = 3;
  const int longest = std::ranges::max(chunks, {}, &Chunk::count).count, steps = (longest + most - 1) / most;
  int differ = 0;
  for (int index = 0; index < steps; index = index + 1 == few ? std::max(few, steps - 1) : index + 1) {
    const int from = index * most;
    std::vector<Chunk> pieces;
    std::vector<int> places;  // in `whole`
    int place = 0;
    for (const Chunk& chunk : chunks) {
      if (from < chunk.count) {
        pieces.push_back({chunk.row, chunk.start + from, std::min(most, chunk.count - from)});
        for (int i = 0; i < pieces.back().count; ++i) places.push_back(place + from + i);
      }
      place += chunk.count;
    }
    const bool decodes = most == 1;  // as many tokens as rows: what the kernels for few tokens know as decode
    const Step step(cache, pieces, decodes ? 0 : static_cast<int>(generator() % 20), decodes ? 0 : 1);
    const auto out = step.results(run_wide, stream);
    const size_t columns = step.columns();
    for (size_t i = 0; i < places.size(); ++i) differ += std::memcmp(&out[i * columns], &whole[places[i] * columns], columns * 2) != 0;
  }
  return differ;
}

// Whether a shape gives right values and a token the same bits in every step; says so.
bool check_shape(const Shape& shape, cudaStream_t stream) {
  std::vector<Chunk> chunks;
  std::vector<int> starts, lengths;
  for (int count : {150, 1, 77, 9, 17, 290}) {
    const int row = static_cast<int>(chunks.size()), start = row == 0 ? 0 : static_cast<int>(generator() % 1500);
    chunks.push_back({row, start, count});
    starts.push_back(start), lengths.push_back(start + count);
  }
  const Cache cache(shape, starts, lengths, generator);
  const Step step(cache, chunks, 13);
  const auto whole = step.results(run_wide, stream);
  const double worst = worst_error(step, whole);
  const auto other = step.results(run_sync, stream);
  int differ_sync = 0, differ = 0;
  for (size_t i = 0; i < whole.size(); i += step.columns()) differ_sync += std::memcmp(&whole[i], &other[i], step.columns() * 2) != 0;
  for (int most : {1, 16, 17, 50, 128}) differ += differing(cache, chunks, whole, most, stream);
  const bool right = worst < 0.015 && differ_sync == 0 && differ == 0;  // weights and results are rounded to bfloat16
  std::printf(
      "%-7s %2d heads of %-3d %2d kv heads window %-4d cap %-3g error %.4f, bits differ from mma.sync's in %d of %d tokens, in chunks in "
      "%d%s\n",
      info(shape.type).name, shape.heads, shape.head_size, shape.kv_heads, shape.window, shape.softcap, worst, differ_sync, step.tokens(),
      differ, right ? "" : "   WRONG");
  return right;
}

// A decode step whose qk_rope_append attention makes, against the same by a kernel each: whether results and caches are the same to the bit.
bool check_rope(const Shape& shape, const RopeShape& rope, cudaStream_t stream) {
  const std::vector<int> starts = {0, 15, 16, 63, 64, 1023, static_cast<int>(generator() % 3000), static_cast<int>(generator() % 700)};
  std::vector<int> lengths;
  std::vector<Chunk> chunks;
  for (int start : starts) {
    chunks.push_back({static_cast<int>(chunks.size()), start, 1});
    lengths.push_back(start + 1);
  }
  const auto same = generator;
  std::vector<uint16_t> out[2];
  std::vector<uint8_t> pages[2];
  for (int fused = 0; fused < 2; ++fused) {
    generator = same;
    const Cache cache(shape, starts, lengths, generator);
    const Step step(cache, chunks, 3, 3);  // rows without tokens, and tokens without rows
    const Projections projections(step.op(), rope);
    const auto run_step = [&](const Attention& op, cudaStream_t on) {
      if (!fused) run(projections.op(), on);
      attend_few(op, fused ? &projections.op() : nullptr, on);
    };
    out[fused] = step.results(run_step, stream), pages[fused] = cache.download_pages();
  }
  const bool right = out[0] == out[1] && pages[0] == pages[1];
  std::printf("%-7s %2d heads of %-3d %2d kv heads window %-4d norm %d pairs %d%s growth %g: with its qk_rope_append%s\n",
              info(shape.type).name, shape.heads, shape.head_size, shape.kv_heads, shape.window, rope.norm, rope.pairs,
              rope.interleaved ? " interleaved" : "", rope.growth, right ? "" : "   WRONG");
  return right;
}

// Each group with each type; windows and caps take turns, so that with all sizes each meets each.
bool check_size(int head_size, cudaStream_t stream) {
  bool right = true;
  int number = head_size / 16;
  for (DType type : {DType::F16, DType::BF16, DType::F8_E4M3}) {
    for (int group : {1, 3, 4, 8, 20}) {
      const int window = std::array{0, 1, 100, 256}[number % 4];
      const float softcap = std::array{0.0f, 5.0f, 0.0f, 50.0f}[(number++ / 4 + group) % 4];
      const Shape shape{2 * group, 2, head_size, window, type, softcap};
      const int pairs = std::array{head_size / 2, head_size / 4, 0}[number / 3 % 3];
      right &= check_shape(shape, stream);
      right &= check_rope(shape, {number % 3, pairs, number % 2 == 0, number % 5 == 0 ? 0.1f : 0}, stream);
      std::fflush(stdout);
    }
  }
  return right;
}

// Microseconds of one of the kernels.
template <class Run>
double time_kernel(const Run& run, const Attention& op, int launches, cudaStream_t stream) {
  return time_launches([&](int) { run(op, stream); }, launches, stream);
}

// Of the plain kernel, which runs what gives float32.
double time_plain(const Step& step, cudaStream_t stream) {
  Attention op = step.op();
  const DeviceBuffer out(matrix_bytes(op.step->tokens, step.columns(), DType::F32));
  op.out = {out.address(), DType::F32, step.columns()};
  return time_kernel([](const Attention& plain, cudaStream_t on) { run(plain, on); }, op, 1, stream);
}

void print_shape(const char* what, const Shape& shape) {
  std::printf("%-8s %-7s %2d heads of %-3d %2d kv heads, cap %-2g ", what, info(shape.type).name, shape.heads, shape.head_size,
              shape.kv_heads, shape.softcap);
}

// With the plain kernel, which takes seconds for long prompts, if asked to.
void time_prefill(const Shape& shape, int tokens, bool plain, cudaStream_t stream) {
  const Cache cache(shape, {0}, {tokens}, generator);
  const Step step(cache, {{0, 0, tokens}}, 0);
  const double operations = 4.0 * shape.head_size * shape.heads * tokens * (tokens + 1.0) / 2;
  const int launches = tokens > 8192 ? 6 : 24;
  const double sync = time_kernel(attend_many, step.op(), launches, stream), wide = time_kernel(attend_prompt, step.op(), launches, stream);
  print_shape("prefill", shape);
  std::printf("%6d tokens  wgmma %8.1f us %4.0f TFLOP/s   mma.sync %8.1f us %4.0f", tokens, wide, operations / wide / 1e6, sync,
              operations / sync / 1e6);
  if (plain) {
    const double us = time_plain(step, stream);
    std::printf("   plain %9.1f us %3.0f", us, operations / us / 1e6);
  }
  std::printf("\n");
  std::fflush(stdout);
}

void time_decode(const Shape& shape, int rows, int length, cudaStream_t stream) {
  const Cache cache(shape, std::vector<int>(rows, length - 1), std::vector<int>(rows, length), generator);
  std::vector<Chunk> chunks;
  for (int row = 0; row < rows; ++row) chunks.push_back({row, length - 1, 1});
  const Step step(cache, chunks, 0, 0);
  const double bytes = 2.0 * element_bytes(shape.type) * shape.kv_heads * shape.head_size * rows * length;
  const Projections projections(step.op(), {.norm = 1, .pairs = shape.head_size / 2});
  const double us = time_kernel([](const Attention& op, cudaStream_t on) { attend_few(op, nullptr, on); }, step.op(), 6, stream);
  const double two = time_kernel([&](const Attention& op, cudaStream_t on) { run(projections.op(), on), attend_few(op, nullptr, on); },
                                 step.op(), 6, stream);
  const double one =
      time_kernel([&](const Attention& op, cudaStream_t on) { attend_few(op, &projections.op(), on); }, step.op(), 6, stream);
  const double plain = time_plain(step, stream);
  print_shape("decode", shape);
  std::printf("%2d rows x %5d  %8.1f us %5.0f GB/s   with qk_rope_append %8.1f us, as two kernels %8.1f   plain %9.1f us\n", rows, length,
              us, bytes / us / 1e3, one, two, plain);
  std::fflush(stdout);
}

// Shapes of Llama-3.1-8B, then of models with other heads: Llama-3.2-1B, stablelm-3b, phi-3-mini, stablelm-2-12b, gemma-3-12b, gemma-2-9b.
void time_all(cudaStream_t stream) {
  const Shape llama{.heads = 32, .kv_heads = 8, .head_size = 128};
  const std::vector<Shape> others = {{32, 8, 64}, {32, 32, 80}, {32, 32, 96}, {32, 8, 160}, {16, 8, 256}, {16, 8, 256, 0, DType::F16, 50}};
  Shape llama_fp8 = llama;
  llama_fp8.type = DType::F8_E4M3;
  for (DType type : {DType::F16, DType::BF16, DType::F8_E4M3}) {
    Shape shape = llama;
    shape.type = type;
    for (int tokens : {1024, 4096, 16384}) time_prefill(shape, tokens, false, stream);
  }
  for (const Shape& shape : others) {
    time_prefill(shape, 1024, false, stream);
    time_prefill(shape, 4096, true, stream);
  }
  time_prefill(others.back(), 16384, false, stream);
  for (const Shape& shape : {llama, llama_fp8}) {
    for (int rows : {64, 16, 1}) time_decode(shape, rows, 8192, stream);
    time_decode(shape, 1, 1024, stream);
  }
  for (int size : {64, 80, 160, 256}) {
    const Shape shape{.heads = 32, .kv_heads = 8, .head_size = size, .type = DType::F8_E4M3};
    time_prefill(shape, 4096, false, stream);
    time_decode(shape, 16, 8192, stream);
  }
  for (const Shape& shape : others) {
    time_decode(shape, 16, 8192, stream);
    time_decode(shape, 1, 1024, stream);
  }
}

int benchmark(const std::string& what) {
  cudaStream_t stream;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream");
  const int only = std::atoi(what.c_str());
  if (what != "time") {
    bool right = true;
    for (int size : {64, 80, 96, 128, 160, 256}) {
      if (only == 0 || only == size) right &= check_size(size, stream);
    }
    if (!right) return 1;
  }
  if (what == "" || what == "time") time_all(stream);
  return 0;
}

}  // namespace
}  // namespace kvasir::cuda

int main(int count, char** arguments) {
  return kvasir::cuda::run_benchmark(kvasir::cuda::benchmark, count, arguments);
}
