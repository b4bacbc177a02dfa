#pragma once
// The ops that a back end provides, and its memory. One op has one name in five places: its contract here in ops/, cpu/, cuda/ (later),
// test/ops/ and bench/ops/. The engine calls nothing else.
//
// Letters: B sequences (rows of a step), T tokens in the step, Hq query heads, Hkv key/value heads, D head size, P page size,
// K inputs and N outputs of a matmul, V vocabulary. Activations are float32, row-major, contiguous. Positions and ids are int32;
// whatever addresses a cache or a weight is computed in int64.
//
// The law of every op: the bits of a row of its result depend on that row's inputs alone: not on the other rows, on their number, or on
// the number of threads. Each op states its order of accumulation.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "tensor/dtype.h"

namespace kvasir {

// Device memory that frees itself; zero at birth. Large allocations are lazy: pages that are never touched cost nothing.
class Buffer {
 public:
  virtual ~Buffer() = default;
  virtual void* data() const = 0;
  template <class Element>
  Element* as() const {
    return static_cast<Element*>(data());
  }
};

// A matrix [N, K] in the back end's own layout, from which matmul and embed read.
struct Weight {
  virtual ~Weight() = default;
  DType type = DType::F32;
  int rows = 0;  // N
  int cols = 0;  // K
  size_t bytes = 0;
};

enum class Compute : uint8_t { F32, BF16, INT8 };

struct Embed;
struct RmsNorm;
struct Matmul;
struct Rope;
struct AppendKv;
struct Attention;
struct Glu;
struct Add;
struct Sample;

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::unique_ptr<Buffer> allocate(size_t bytes) = 0;  // throws OUT_OF_MEMORY
  virtual std::unique_ptr<Weight> create_weight(DType type, int rows, int cols) = 0;
  // Rows [first, first + count) of the file's layout (rows of whole blocks, one after the other) into their repacked place.
  // `first` is a multiple of kPackRows; `count` too, but for the last rows of the matrix.
  virtual void pack_rows(Weight& weight, int first, int count, const uint8_t* file_rows) = 0;
  static constexpr int kPackRows = 16;

  virtual void embed(const Embed&) = 0;
  virtual void rmsnorm(const RmsNorm&) = 0;
  virtual void matmul(const Matmul&) = 0;
  virtual void rope(const Rope&) = 0;
  virtual void append_kv(const AppendKv&) = 0;
  virtual void attention(const Attention&) = 0;
  virtual void glu(const Glu&) = 0;
  virtual void add(const Add&) = 0;
  virtual void sample(const Sample&) = 0;
};

}  // namespace kvasir
