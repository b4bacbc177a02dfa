#pragma once
// A back end's memory, as the engine and the contracts of the ops see it: addresses that only the back end's own ops may dereference.
#include <cstddef>
#include <cstdint>
#include <memory>

#include "tensor/dtype.h"

namespace kvasir {

// A matrix [rows, cols], row-major; its op says how many rows and columns. A vector is one row. Without data: there is none.
struct View {
  void* data = nullptr;
  DType type = DType::F32;
  int64_t stride = 0;  // elements from a row to the next

  explicit operator bool() const { return data != nullptr; }
};

// Rows of 16 bits are whole 64 columns apart, and their memory has whole blocks of 128 rows: a back end may keep them as tiles.
inline int64_t stride_of(int cols, DType type) {
  return info(type).bytes == 2 ? (cols + 63) / 64 * 64 : cols;
}
inline size_t matrix_bytes(int rows, int cols, DType type) {
  const int padded = info(type).bytes == 2 ? (rows + 127) / 128 * 128 : rows;
  return static_cast<size_t>(padded) * stride_of(cols, type) * info(type).bytes;
}

// Memory that frees itself; zero at birth. Large allocations are lazy where the back end can: pages that are never touched cost nothing.
class Buffer {
 public:
  virtual ~Buffer() = default;
  virtual void* address() const = 0;
};

enum class Compute : uint8_t { F32, BF16, INT8 };

// A matrix [N, K] in the back end's own layout for its type and the arithmetic of its products: matmul and embed read it.
struct Weight {
  virtual ~Weight() = default;
  DType type = DType::F32;
  Compute compute = Compute::F32;
  int rows = 0;  // N
  int cols = 0;  // K
  size_t bytes = 0;
};

using Matrix = std::unique_ptr<Weight>;
using Vector = std::unique_ptr<Buffer>;  // float32; null: there is none

inline View view(const Vector& vector) {
  return vector ? View{vector->address(), DType::F32, 0} : View{};
}

}  // namespace kvasir
