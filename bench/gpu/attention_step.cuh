#pragma once
// What the attention benchmark runs on: a cache of some rows whose pages are shuffled, and steps over them.
#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numeric>
#include <random>
#include <span>
#include <vector>

#include "cuda/kernels/attention_state.cuh"
#include "cuda/kernels/attention_tensor.h"
#include "measure.h"
#include "ops/qk_rope_append.h"

namespace kvasir::cuda {

struct Shape {
  int heads, kv_heads, head_size, window = 0;
  DType type = DType::F16;  // of the cache
  float softcap = 0;
};

// Tokens of a row: `count` from position `start` on.
struct Chunk {
  int row, start, count;
};

// Uniform in [-1, 1), of a place.
__host__ __device__ inline float noise(uint32_t seed, uint64_t place) {
  uint64_t x = (place + 1) * 0x9e3779b97f4a7c15ull + seed * 0xbf58476d1ce4e5b9ull;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull, x = (x ^ x >> 27) * 0x94d049bb133111ebull;
  return static_cast<float>((x ^ x >> 31) >> 40) * 0x1p-23f - 1;
}

// Keys, or values, of the positions below `length`, block by block, in the row's pages.
template <class Element>
__global__ void fill_row(View part, KvLayer cache, const int32_t* pages, int first_page, bool is_key, int length, uint32_t seed) {
  const int position = first_page * kPage + blockIdx.x, head = blockIdx.y;
  if (position >= length) return;
  auto* to = head_of<Element>(part, cache, pages[blockIdx.x / kPage], head);
  for (int d = threadIdx.x; d < cache.head_size; d += blockDim.x) {
    const float value = noise(seed, (uint64_t(position) * cache.kv_heads + head) * cache.head_size + d);
    put(&to[is_key ? key_place(cache, position, d) : value_place(cache, position, d)], value);
  }
}

// The caches of some rows with as many positions written, and queries for all of them.
class Cache {
 public:
  // Of row b the pages from the one on that position starts[b] sees.
  Cache(const Shape& shape, const std::vector<int>& starts, const std::vector<int>& lengths, std::mt19937& generator) : shape_(shape) {
    std::vector<std::vector<int32_t>> tables(starts.size());
    int count = 0;
    for (size_t row = 0; row < starts.size(); ++row) {
      const int seen = shape.window > 0 ? std::max(0, starts[row] - shape.window + 1) : 0;
      first_.push_back(seen / kPage);
      tables[row].resize((lengths[row] + kPage - 1) / kPage - first_[row]);
      count += static_cast<int>(tables[row].size());
    }
    std::vector<int32_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    std::ranges::shuffle(order, generator);
    const int64_t stride = int64_t(shape.kv_heads) * shape.head_size * kPage;
    for (auto* part : {&k_, &v_}) {
      const size_t bytes = count * stride * element_bytes(shape.type);
      *part = std::make_unique<DeviceBuffer>(bytes);
      check(cudaMemset((*part)->address(), 0xff, bytes), "poison");
    }
    layer_ = {.k = {k_->address(), shape.type, stride},
              .v = {v_->address(), shape.type, stride},
              .kv_heads = shape.kv_heads,
              .head_size = shape.head_size,
              .page_size = kPage};
    for (size_t row = 0; row < starts.size(); ++row) indptr_.push_back(indptr_.back() + static_cast<int>(tables[row].size()));
    pages_ = order;
    const auto device_pages = upload(order);
    for (size_t row = 0; row < starts.size(); ++row) {
      const dim3 blocks(indptr_[row + 1] * kPage - indptr_[row] * kPage, shape.kv_heads);
      const auto* pages = static_cast<const int32_t*>(device_pages->address()) + indptr_[row];
      for (bool key : {true, false}) {
        with_element(shape.type, [&](auto element) {
          fill_row<decltype(element)>
              <<<blocks, 64>>>(key ? layer_.k : layer_.v, layer_, pages, first_[row], key, lengths[row], 2 * row + key);
        });
      }
    }
    check_launch("cache");
    check(cudaDeviceSynchronize(), "cache");
  }

  const Shape& shape() const { return shape_; }
  const KvLayer& layer() const { return layer_; }
  const std::vector<int32_t>& indptr() const { return indptr_; }
  const std::vector<int32_t>& first() const { return first_; }
  const std::vector<int32_t>& pages() const { return pages_; }
  // All keys, then all values.
  std::vector<uint8_t> download_pages() const {
    const size_t bytes = pages_.size() * layer_.k.stride * element_bytes(shape_.type);
    std::vector<uint8_t> all = download<uint8_t>(*k_, bytes), values = download<uint8_t>(*v_, bytes);
    all.insert(all.end(), values.begin(), values.end());
    return all;
  }

 private:
  Shape shape_;
  KvLayer layer_;
  std::unique_ptr<DeviceBuffer> k_, v_;
  std::vector<int32_t> indptr_ = {0}, first_, pages_;
};

inline float query_value(const Shape& shape, int row, int position, int col) {
  return 6 * noise(1000 + row, uint64_t(position) * shape.heads * shape.head_size + col);
}

// A step over the chunks, with `padding` tokens more (or one more, so that it does not look like one of single tokens) and so many rows
// without any.
class Step {
 public:
  Step(const Cache& cache, const std::vector<Chunk>& chunks, int padding, int empty_rows = 1) : shape_(cache.shape()) {
    std::vector<int32_t> rows, positions, q_indptr = {0}, starts, indptr = {0}, first, pages;
    std::vector<float> q;
    q.reserve(
        std::accumulate(chunks.begin(), chunks.end(), size_t(padding), [](size_t sum, const Chunk& chunk) { return sum + chunk.count; }) *
        columns());
    for (size_t b = 0; b < chunks.size(); ++b) {
      const Chunk& chunk = chunks[b];
      for (int i = 0; i < chunk.count; ++i) {
        rows.push_back(static_cast<int>(b)), positions.push_back(chunk.start + i);
        for (int col = 0; col < columns(); ++col) q.push_back(query_value(shape_, chunk.row, chunk.start + i, col));
      }
      starts.push_back(chunk.start), q_indptr.push_back(static_cast<int>(rows.size())), first.push_back(cache.first()[chunk.row]);
      pages.insert(pages.end(), &cache.pages()[cache.indptr()[chunk.row]], cache.pages().data() + cache.indptr()[chunk.row + 1]);
      indptr.push_back(static_cast<int>(pages.size()));
    }
    tokens_ = static_cast<int>(rows.size());
    if (tokens_ > static_cast<int>(chunks.size()) && tokens_ + padding == static_cast<int>(chunks.size()) + empty_rows) ++padding;
    rows.resize(tokens_ + padding, -1), positions.resize(tokens_ + padding), q.resize(size_t(tokens_ + padding) * columns(), NAN);
    for (int i = 0; i < empty_rows; ++i) {
      starts.push_back(0), q_indptr.push_back(tokens_), first.push_back(0), indptr.push_back(static_cast<int>(pages.size()));
    }
    q_ = upload(q);
    out_ = std::make_unique<DeviceBuffer>(matrix_bytes(tokens_ + padding, columns(), DType::BF16));
    const auto [in_indptr, in_first, in_pages, in_positions, in_rows, in_q_indptr, in_starts] =
        upload_arrays<7>({indptr, first, pages, positions, rows, q_indptr, starts});
    tables_ = {in_indptr, in_first, in_pages};
    inputs_ = {.rows = static_cast<int>(starts.size()),
               .tokens = tokens_ + padding,
               .is_long = std::ranges::any_of(chunks, [](const Chunk& chunk) { return chunk.start + chunk.count > kShortContext; }),
               .positions = in_positions,
               .row_of_token = in_rows,
               .q_indptr = in_q_indptr,
               .starts = in_starts,
               .tables = {&tables_, 1}};
    op_ = {.step = &inputs_,
           .q = {q_->address(), DType::F32, columns()},
           .out = {out_->address(), DType::BF16, stride_of(columns(), DType::BF16)},
           .cache = cache.layer(),
           .group = 0,
           .query_heads = shape_.heads,
           .scale = 1 / std::sqrt(static_cast<float>(shape_.head_size)),
           .softcap = shape_.softcap,
           .window = shape_.window};
  }
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

  const Attention& op() const { return op_; }
  int tokens() const { return tokens_; }
  int columns() const { return shape_.heads * shape_.head_size; }

  // What a kernel makes of it, [tokens, columns] in bfloat16; what it leaves out is NaN.
  template <class Run>
  std::vector<uint16_t> results(const Run& run, cudaStream_t stream) const {
    const size_t bytes = matrix_bytes(inputs_.tokens, columns(), DType::BF16);
    check(cudaMemsetAsync(out_->address(), 0xff, bytes, stream), "poison");
    run(op_, stream);
    check(cudaStreamSynchronize(stream), "attention");
    const auto tiles = download<uint16_t>(*out_, bytes / 2);
    std::vector<uint16_t> out(size_t(tokens_) * columns());
    for (size_t i = 0; i < out.size(); ++i) out[i] = tiles[place_in_tiles(op_.out.stride, i / columns(), i % columns())];
    return out;
  }

 private:
  // In one piece of memory: an allocation takes longer than a kernel.
  template <size_t count>
  std::array<const int32_t*, count> upload_arrays(const std::array<std::span<const int32_t>, count>& arrays) {
    std::vector<int32_t> all;
    for (const auto& array : arrays) all.insert(all.end(), array.begin(), array.end());
    arrays_ = upload(all);
    std::array<const int32_t*, count> places;
    const auto* next = static_cast<const int32_t*>(arrays_->address());
    for (size_t i = 0; i < count; next += arrays[i++].size()) places[i] = next;
    return places;
  }

  Shape shape_;
  int tokens_;
  std::unique_ptr<DeviceBuffer> q_, out_, arrays_;
  PageTables tables_;
  StepInputs inputs_;
  Attention op_;
};

// Of a qk_rope_append: 0 no norm, 1 by the mean square, 2 by the variance, too.
struct RopeShape {
  int norm = 0, pairs = 0;
  bool interleaved = false;
  float growth = 0;
};

// What a decode step's projections leave, and the qk_rope_append that is to be made of it.
class Projections {
 public:
  Projections(const Attention& op, const RopeShape& shape) {
    const int heads = op.query_heads, kv_heads = op.cache.kv_heads, D = op.cache.head_size, columns = (heads + 2 * kv_heads) * D;
    const auto many = [](size_t count, uint32_t seed, float scale) {
      std::vector<float> numbers(count);
      for (size_t i = 0; i < count; ++i) numbers[i] = scale * noise(seed, i);
      return upload(numbers);
    };
    kv_ = many(size_t(op.step->tokens) * 2 * kv_heads * D, 77, 2);
    weights_ = many(size_t(columns), 78, 1);
    std::vector<float> frequencies;
    for (int i = 0; i < std::max(1, shape.pairs); ++i)
      frequencies.push_back(std::pow(10000.0f, -static_cast<float>(i) / std::max(1, shape.pairs)));
    frequencies_ = upload(frequencies);
    const auto view = [](const std::unique_ptr<DeviceBuffer>& buffer, int64_t first, int64_t stride) {
      return View{static_cast<float*>(buffer->address()) + first, DType::F32, stride};
    };
    const int64_t kv_stride = 2 * kv_heads * D;
    op_ = {.step = op.step,
           .q = op.q,
           .k = view(kv_, 0, kv_stride),
           .v = view(kv_, kv_heads * D, kv_stride),
           .q_norm = shape.norm > 0 ? view(weights_, 0, 0) : View{},
           .k_norm = shape.norm > 0 ? view(weights_, heads * D, D) : View{},
           .norm = {.kind = shape.norm == 2 ? NormKind::Layer : NormKind::Rms, .epsilon = 1e-5f},
           .rope = {.frequencies = view(frequencies_, 0, 0), .pairs = shape.pairs, .scale = 1.1f, .interleaved = shape.interleaved},
           .query_growth = {.growth = shape.growth, .context = 128},
           .cache = op.cache,
           .group = op.group,
           .query_heads = heads};
  }

  const QkRopeAppend& op() const { return op_; }

 private:
  std::unique_ptr<DeviceBuffer> kv_, weights_, frequencies_;
  QkRopeAppend op_;
};

}  // namespace kvasir::cuda
