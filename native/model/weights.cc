#include "model/weights.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "tensor/status.h"

namespace kvasir {

// A file descriptor of the loader; the file must be as long as it was when its header was checked. Opening never waits, as for a pipe.
class File {
 public:
  explicit File(const ModelFile& file) : path_(file.path), descriptor_(::open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (descriptor_ < 0) fail("FILE_NOT_FOUND", "%s cannot be opened: %s", path_.c_str(), std::strerror(errno));
    struct stat status;
    if (::fstat(descriptor_, &status) != 0) status = {};
    if (!S_ISREG(status.st_mode) || status.st_size != file.size) {
      ::close(descriptor_);
      fail("FILE_INVALID", "%s is no longer a file of %lld bytes, but of %lld", path_.c_str(), static_cast<long long>(file.size),
           static_cast<long long>(status.st_size));
    }
  }
  File(File&& other) noexcept : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
  File& operator=(File&&) = delete;
  const char* path() const { return path_.c_str(); }
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  void read(int64_t offset, size_t bytes, uint8_t* target) const {
    while (bytes > 0) {
      ssize_t count = ::pread(descriptor_, target, bytes, offset);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail("FILE_INVALID", "%s cannot be read: %s", path_.c_str(), std::strerror(errno));
      if (count == 0) fail("FILE_INVALID", "%s ends before byte %lld", path_.c_str(), static_cast<long long>(offset + bytes));
      target += count;
      offset += count;
      bytes -= count;
    }
  }

 private:
  std::string path_;
  int descriptor_;
};

namespace {

// Bytes read at once: large enough for the disk, small enough for a processor's L2 or L3, from which they are repacked.
constexpr int64_t kPieceBytes = 4 << 20;

float element(const uint8_t* bytes, DType type, size_t index) {
  if (type == DType::F32) {
    float value;
    std::memcpy(&value, bytes + index * 4, 4);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, bytes + index * 2, 2);
  return type == DType::F16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

constexpr int kMostE4m3 = 448;

// Whether any of these numbers of E4M3 is NaN: it has no infinity.
bool has_nan(const uint8_t* elements, int count) {
  bool found = false;
  for (int i = 0; i < count; ++i) found |= (elements[i] & 0x7f) == 0x7f;
  return found;
}

std::string show_shape(const std::vector<int>& shape) {
  std::string text;
  for (int size : shape) text += (text.empty() ? "[" : ", ") + std::to_string(size);
  return text + "]";
}

void check_shape(const TensorRow& tensor, const std::vector<int>& expected) {
  if (tensor.shape == expected) return;
  fail("FILE_INVALID", "tensor %s is %s; expected %s", tensor.name.c_str(), show_shape(tensor.shape).c_str(), show_shape(expected).c_str());
}

}  // namespace

Vector upload(Backend& backend, std::span<const float> values) {
  Vector vector = backend.allocate(std::max<size_t>(1, values.size()) * sizeof(float));
  const std::span<uint8_t> staged = backend.stage(values.size_bytes());
  std::copy_n(reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes(), staged.data());
  backend.upload(*vector, staged);
  return vector;
}

WeightSource::WeightSource(const ModelConfig& config, Backend& backend, const Progress& progress, const std::atomic<bool>& cancelled)
    : backend_(backend), compute_(config.compute), progress_(progress), cancelled_(cancelled), total_(tensor_bytes(config)) {
  for (const ModelFile& file : config.files) files_.emplace_back(file);
  for (const TensorRow& tensor : config.tensors) {
    if (!entries_.try_emplace(tensor.name, Entry{&tensor, false}).second) {
      fail("FILE_INVALID", "tensor %s is there twice", tensor.name.c_str());
    }
  }
}

WeightSource::~WeightSource() = default;

const TensorRow& WeightSource::take(const std::string& name) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) fail("FILE_INVALID", "tensor %s is missing", name.c_str());
  found->second.taken = true;
  return *found->second.tensor;
}

std::span<uint8_t> WeightSource::read_rows(const TensorRow& tensor, int first, int count) {
  if (cancelled_) fail("CLOSED", "the engine was closed while it loaded %s", tensor.name.c_str());
  const int64_t stride = tensor.shape.size() == 1 ? info(tensor.type).bytes : row_bytes(tensor);
  const std::span<uint8_t> staged = backend_.stage(static_cast<size_t>(count * stride));
  const RowLayout layout = tensor.layout.value_or(RowLayout{RowLayoutKind::Runs, tensor.shape[0], tensor.shape[0]});
  if (tensor.scales) {
    read_scaled(tensor, first, count, staged.data());
  } else if (layout.kind == RowLayoutKind::Transposed) {
    read_transposed(tensor, first, count, staged.data());
  } else {
    for (int row = first, next; row < first + count; row = next) {
      next = std::min(first + count, (row / layout.run + 1) * layout.run);
      const int64_t place = int64_t(row / layout.run) * layout.stride + row % layout.run;
      const auto bytes = static_cast<size_t>((next - row) * stride);
      files_[tensor.file].read(tensor.offset + place * stride, bytes, staged.data() + (row - first) * stride);
    }
  }
  done_ += static_cast<int64_t>(staged.size());
  progress_(done_, total_);
  return staged;
}

void WeightSource::read_scales(const TensorRow& tensor) {
  const WeightScales& scales = *tensor.scales;
  const auto cols = static_cast<size_t>(scale_cols(tensor));
  scales_.resize(static_cast<size_t>(scale_rows(tensor)) * cols);
  stored_.resize(scales_.size() * info(scales.type).bytes);
  files_[scales.file].read(scales.offset, stored_.size(), stored_.data());
  for (size_t i = 0; i < scales_.size(); ++i) {
    scales_[i] = element(stored_.data(), scales.type, i);
    // Each weight is finite in float32. Rounded to bfloat16 the largest may not be, and sums of products may overflow: then logits show it.
    if (std::isfinite(kMostE4m3 * scales_[i])) continue;
    fail("FILE_INVALID", "%s: tensor \"%s\" has %g in row %zu, column %zu; expected a number that is finite in float32, also times %d",
         files_[scales.file].path(), scales.name.c_str(), scales_[i], i / cols, i % cols, kMostE4m3);
  }
}

void WeightSource::read_scaled(const TensorRow& tensor, int first, int count, uint8_t* target) {
  constexpr int kBlock = info(DType::F8_E4M3).block;
  const int cols = tensor.shape[1];
  const int64_t grid_cols = scale_cols(tensor);
  stored_.resize(static_cast<size_t>(count) * cols);
  files_[tensor.file].read(tensor.offset + int64_t(first) * cols, stored_.size(), stored_.data());
  const uint8_t* elements = stored_.data();
  for (int row = tensor.scales->first + first, last = row + count; row < last; ++row) {  // of the file's matrix
    const float* scales = &scales_[row / tensor.scales->block_rows * grid_cols];
    for (int k = 0; k < cols; k += kBlock) {
      target = std::copy_n(reinterpret_cast<const uint8_t*>(scales + k / tensor.scales->block_cols), sizeof(float), target);
      if (has_nan(elements, kBlock)) {
        fail("FILE_INVALID", "%s: tensor \"%s\" has a NaN in row %d; expected numbers", files_[tensor.file].path(),
             tensor.scales->matrix.c_str(), row);
      }
      target = std::copy_n(elements, kBlock, target);
      elements += kBlock;
    }
  }
}

void WeightSource::read_transposed(const TensorRow& tensor, int first, int count, uint8_t* target) {
  const int64_t size = info(tensor.type).bytes, cols = tensor.shape[1];
  stored_.resize(static_cast<size_t>(cols * count * size));
  for (int64_t k = 0; k < cols; ++k) {
    const int64_t place = (k * tensor.layout->stride + first) * size;
    files_[tensor.file].read(tensor.offset + place, static_cast<size_t>(count * size), stored_.data() + k * count * size);
  }
  for (int64_t row = 0; row < count; ++row) {
    for (int64_t k = 0; k < cols; ++k) std::memcpy(target + (row * cols + k) * size, stored_.data() + (k * count + row) * size, size);
  }
}

Matrix WeightSource::matrix(const std::string& name, int rows, int cols) {
  const TensorRow& tensor = take(name);
  check_shape(tensor, {rows, cols});
  if (tensor.scales) read_scales(tensor);
  Matrix matrix = backend_.create_weight(tensor.type, compute_, rows, cols);
  const int64_t stride = row_bytes(tensor);
  const int piece = static_cast<int>(std::max<int64_t>(1, kPieceBytes / (stride * Backend::kPackRows))) * Backend::kPackRows;
  for (int first = 0; first < rows; first += piece) {
    const int count = std::min(piece, rows - first);
    backend_.pack_rows(*matrix, first, count, read_rows(tensor, first, count));
  }
  return matrix;
}

Matrix WeightSource::matrix_if_present(const std::string& name, int rows, int cols) {
  return entries_.contains(name) ? matrix(name, rows, cols) : nullptr;
}

void WeightSource::append(const std::string& name, int cols, std::vector<float>& values) {
  const TensorRow& tensor = take(name);
  check_shape(tensor, {cols});
  if (is_quantized(tensor.type)) fail("UNSUPPORTED_FORMAT", "vector %s is quantized (%s)", name.c_str(), info(tensor.type).name);
  const std::span<uint8_t> staged = read_rows(tensor, 0, cols);
  for (int i = 0; i < cols; ++i) values.push_back(element(staged.data(), tensor.type, i) + (tensor.plus_one ? 1.0f : 0.0f));
}

Vector WeightSource::vector(const std::string& name, int cols) {
  std::vector<float> values;
  append(name, cols, values);
  return upload(backend_, values);
}

Vector WeightSource::vectors(const std::string& name, int count, int cols) {
  std::vector<float> values;
  for (int i = 0; i < count; ++i) append(name + "." + std::to_string(i), cols, values);
  return upload(backend_, values);
}

Vector WeightSource::vector_if_present(const std::string& name, int cols) {
  return entries_.contains(name) ? vector(name, cols) : nullptr;
}

void WeightSource::check_all_taken() const {
  for (const auto& [name, entry] : entries_) {
    if (!entry.taken) fail("INVALID_ARGUMENT", "tensor %s has no place in this model", name.c_str());
  }
}

}  // namespace kvasir
