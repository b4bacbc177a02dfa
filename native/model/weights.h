#pragma once
// The weights, asked for by name: each is read once with pread, in pieces, straight into its final, repacked place.
#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "model/spec.h"
#include "ops/backend.h"

namespace kvasir {

// Bytes of tensor data read so far, and in all.
using Progress = std::function<void(int64_t done, int64_t total)>;

// Floats in the back end's memory.
Vector upload(Backend& backend, std::span<const float> values);

class File;

class WeightSource {
 public:
  // Throws FILE_NOT_FOUND, FILE_INVALID for a file that is no longer what it was and for a tensor that is there twice.
  WeightSource(const ModelConfig& config, Backend& backend, const Progress& progress, const std::atomic<bool>& cancelled);
  ~WeightSource();

  // Throw FILE_INVALID for a missing tensor, a wrong shape or a file that is shorter than promised, UNSUPPORTED_FORMAT for a vector of
  // blocks, OUT_OF_MEMORY, and CLOSED once `cancelled` is set. Those with _if_present give null for a missing tensor.
  Matrix matrix(const std::string& name, int rows, int cols);
  Matrix matrix_if_present(const std::string& name, int rows, int cols);
  Vector vector(const std::string& name, int cols);
  Vector vector_if_present(const std::string& name, int cols);
  // NAME.0, NAME.1 and so on, one after the other.
  Vector vectors(const std::string& name, int count, int cols);

  // Throws INVALID_ARGUMENT for a tensor that nobody asked for: the model would be another than the file's.
  void check_all_taken() const;

 private:
  const TensorRow& take(const std::string& name);
  void append(const std::string& name, int cols, std::vector<float>& values);
  // Rows [first, first + count) of the model, side by side, whatever the file's layout; of a vector, elements.
  std::span<uint8_t> read_rows(const TensorRow& tensor, int first, int count);
  void read_transposed(const TensorRow& tensor, int first, int count, uint8_t* target);
  // F8_E4M3: the grid of a matrix's scales; then rows as blocks of both.
  void read_scales(const TensorRow& tensor);
  void read_scaled(const TensorRow& tensor, int first, int count, uint8_t* target);

  Backend& backend_;
  const Compute compute_;
  const Progress& progress_;
  const std::atomic<bool>& cancelled_;
  std::vector<File> files_;
  std::vector<uint8_t> stored_;  // a piece of a matrix that the file has in another form
  std::vector<float> scales_;    // of the matrix that is read
  struct Entry {
    const TensorRow* tensor;
    bool taken;
  };
  std::map<std::string, Entry> entries_;
  int64_t done_ = 0;
  const int64_t total_;
};

// The weights of one layer, by their names within it.
class LayerWeights {
 public:
  LayerWeights(WeightSource& source, int layer) : source_(source), prefix_("layers." + std::to_string(layer) + ".") {}

  Matrix matrix(const char* name, int rows, int cols) const { return source_.matrix(prefix_ + name, rows, cols); }
  Vector vector(const char* name, int cols) const { return source_.vector(prefix_ + name, cols); }
  Vector vector_if_present(const char* name, int cols) const { return source_.vector_if_present(prefix_ + name, cols); }
  Vector vectors(const char* name, int count, int cols) const { return source_.vectors(prefix_ + name, count, cols); }
  std::string name(const char* name) const { return prefix_ + name; }

 private:
  WeightSource& source_;
  std::string prefix_;
};

}  // namespace kvasir
