#include "engine/weights.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "tensor/status.h"

namespace kvasir {
namespace {

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

// What a tensor's name asks for: a place and a shape.
struct Place {
  Matrix* matrix = nullptr;
  Vector* vector = nullptr;
  int rows = 1;
  int cols = 0;

  bool taken() const { return matrix != nullptr ? *matrix != nullptr : *vector != nullptr; }
};

Place layer_place(LayerWeights& layer, const LayerSpec& spec, int hidden, std::string_view name) {
  const int q = spec.attention.query_heads * spec.attention.head_size, kv = spec.attention.kv_heads * spec.attention.head_size;
  const int mlp = spec.feed_forward.size, head = spec.attention.head_size;
  const struct {
    const char* name;
    Place place;
  } places[] = {
      {"attn_norm", {.vector = &layer.attn_norm, .cols = hidden}}, {"q", {.matrix = &layer.q, .rows = q, .cols = hidden}},
      {"k", {.matrix = &layer.k, .rows = kv, .cols = hidden}},     {"v", {.matrix = &layer.v, .rows = kv, .cols = hidden}},
      {"o", {.matrix = &layer.o, .rows = hidden, .cols = q}},      {"q_bias", {.vector = &layer.q_bias, .cols = q}},
      {"k_bias", {.vector = &layer.k_bias, .cols = kv}},           {"v_bias", {.vector = &layer.v_bias, .cols = kv}},
      {"o_bias", {.vector = &layer.o_bias, .cols = hidden}},       {"q_norm", {.vector = &layer.q_norm, .cols = head}},
      {"k_norm", {.vector = &layer.k_norm, .cols = head}},         {"post_attn_norm", {.vector = &layer.post_attn_norm, .cols = hidden}},
      {"mlp_norm", {.vector = &layer.mlp_norm, .cols = hidden}},   {"gate", {.matrix = &layer.gate, .rows = mlp, .cols = hidden}},
      {"up", {.matrix = &layer.up, .rows = mlp, .cols = hidden}},  {"down", {.matrix = &layer.down, .rows = hidden, .cols = mlp}},
      {"gate_bias", {.vector = &layer.gate_bias, .cols = mlp}},    {"up_bias", {.vector = &layer.up_bias, .cols = mlp}},
      {"down_bias", {.vector = &layer.down_bias, .cols = hidden}}, {"post_mlp_norm", {.vector = &layer.post_mlp_norm, .cols = hidden}},
  };
  for (const auto& entry : places) {
    if (name == entry.name) return entry.place;
  }
  return {};
}

Place place_of(Weights& weights, const ModelSpec& spec, const std::string& name) {
  if (name == "embed") return {.matrix = &weights.embed, .rows = spec.vocab_size, .cols = spec.hidden_size};
  if (name == "lm_head") return {.matrix = &weights.lm_head, .rows = spec.vocab_size, .cols = spec.hidden_size};
  if (name == "final_norm") return {.vector = &weights.final_norm, .cols = spec.hidden_size};
  constexpr std::string_view prefix = "layers.";
  if (name.starts_with(prefix)) {
    char* end = nullptr;
    long layer = std::strtol(name.c_str() + prefix.size(), &end, 10);
    if (*end == '.' && layer >= 0 && layer < static_cast<long>(spec.layers.size())) {
      return layer_place(weights.layers[layer], spec.layers[layer], spec.hidden_size, end + 1);
    }
  }
  return {};
}

float element(const uint8_t* bytes, DType type, int index) {
  if (type == DType::F32) {
    float value;
    std::memcpy(&value, bytes + size_t(index) * 4, 4);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, bytes + size_t(index) * 2, 2);
  return type == DType::F16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

class Loader {
 public:
  Loader(const EngineConfig& config, Backend& backend, const Progress& progress, const std::atomic<bool>& cancelled)
      : backend_(backend), progress_(progress), cancelled_(cancelled) {
    for (const ModelFile& file : config.files) files_.emplace_back(file);
    for (const TensorRow& tensor : config.tensors) total_ += tensor_bytes(tensor);
  }

  void load(const TensorRow& tensor, const Place& place) {
    if (place.matrix != nullptr) {
      *place.matrix = load_matrix(tensor);
    } else {
      *place.vector = load_vector(tensor);
    }
  }

 private:
  void read(const TensorRow& tensor, int64_t from, size_t bytes) {
    if (cancelled_) fail("CLOSED", "the engine was closed while it loaded %s", tensor.name.c_str());
    scratch_.resize(bytes);
    files_[tensor.file].read(tensor.offset + from, bytes, scratch_.data());
    done_ += static_cast<int64_t>(bytes);
    progress_(done_, total_);
  }

  Matrix load_matrix(const TensorRow& tensor) {
    Matrix matrix = backend_.create_weight(tensor.type, tensor.rows, tensor.cols);
    const int64_t stride = row_bytes(tensor);
    constexpr int64_t kSlice = 4 << 20;  // bytes read at once: large enough for the disk, small enough for a cache
    const int slice = static_cast<int>(std::max<int64_t>(1, kSlice / (stride * Backend::kPackRows))) * Backend::kPackRows;
    for (int first = 0; first < tensor.rows; first += slice) {
      const int count = std::min(slice, tensor.rows - first);
      read(tensor, first * stride, static_cast<size_t>(count * stride));
      backend_.pack_rows(*matrix, first, count, scratch_.data());
    }
    return matrix;
  }

  Vector load_vector(const TensorRow& tensor) {
    if (is_quantized(tensor.type)) fail("UNSUPPORTED_FORMAT", "vector %s is quantized (%s)", tensor.name.c_str(), info(tensor.type).name);
    Vector vector = backend_.allocate(size_t(tensor.cols) * sizeof(float));
    read(tensor, 0, static_cast<size_t>(row_bytes(tensor)));
    for (int i = 0; i < tensor.cols; ++i)
      vector->as<float>()[i] = element(scratch_.data(), tensor.type, i) + (tensor.plus_one ? 1.0f : 0.0f);
    return vector;
  }

  Backend& backend_;
  const Progress& progress_;
  const std::atomic<bool>& cancelled_;
  std::vector<File> files_;
  std::vector<uint8_t> scratch_;
  int64_t done_ = 0;
  int64_t total_ = 0;
};

void require(bool present, const char* name, size_t layer) {
  if (!present) fail("FILE_INVALID", "tensor %s of layer %zu is missing", name, layer);
}

void check_complete(const Weights& weights) {
  if (!weights.embed || !weights.final_norm) fail("FILE_INVALID", "tensor %s is missing", weights.embed ? "final_norm" : "embed");
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const LayerWeights& layer = weights.layers[i];
    require(layer.attn_norm != nullptr, "attn_norm", i);
    require(layer.mlp_norm != nullptr, "mlp_norm", i);
    require(layer.q && layer.k && layer.v && layer.o, "q, k, v or o", i);
    require(layer.gate && layer.up && layer.down, "gate, up or down", i);
  }
}

size_t matrix_bytes(const Weights& weights) {
  size_t sum = weights.embed->bytes + (weights.lm_head ? weights.lm_head->bytes : 0);
  for (const LayerWeights& layer : weights.layers) {
    for (const Matrix* matrix : {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) sum += (*matrix)->bytes;
  }
  return sum;
}

}  // namespace

Weights load_weights(const EngineConfig& config, Backend& backend, const Progress& progress, const std::atomic<bool>& cancelled) {
  Weights weights;
  weights.layers.resize(config.spec.layers.size());
  Loader loader(config, backend, progress, cancelled);
  for (const TensorRow& tensor : config.tensors) {
    const Place place = place_of(weights, config.spec, tensor.name);
    if (place.matrix == nullptr && place.vector == nullptr) fail("INVALID_ARGUMENT", "unknown tensor %s", tensor.name.c_str());
    if (place.taken()) fail("FILE_INVALID", "tensor %s is there twice", tensor.name.c_str());
    if (tensor.rows != place.rows || tensor.cols != place.cols) {
      fail("FILE_INVALID", "tensor %s is [%d, %d] where the model needs [%d, %d]", tensor.name.c_str(), tensor.rows, tensor.cols,
           place.rows, place.cols);
    }
    loader.load(tensor, place);
  }
  check_complete(weights);
  weights.bytes = matrix_bytes(weights);
  return weights;
}

}  // namespace kvasir
