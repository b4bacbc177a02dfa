#pragma once
// What a model is and how it is run: the C++ twin of lib/model/spec.ts, with the same names. Alternatives are tagged by `kind` there and
// are variants here.
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ops/backend.h"

namespace kvasir {

// Sizes of one dimension are at most so many: products of two are in int64 with room to spare, heads of a token in int.
inline constexpr int kMostWidth = 1 << 24;

struct RopeSpec {
  std::vector<float> frequencies;  // radians per position, one for each rotated pair
  float scale;
  bool interleaved;
};

enum class CachePartType : uint8_t { Kv, F32 };  // Kv: the type that the engine was asked for

struct CachePart {
  int elements;  // of one token in one layer
  CachePartType type;
};

enum class CacheKind : uint8_t { All, Window };

struct CacheGroup {
  CacheKind kind;
  int window;  // 0: all
  std::vector<int> layers;
  std::vector<CachePart> parts;
};

// Head: one weight for every head; Row: over all heads at once; Each: a weight for each head.
enum class QkNorm : uint8_t { None, Head, Row, Each };

struct AttentionSpec {
  int query_heads;
  int kv_heads;
  int head_size;
  float scale;
  float softcap;  // 0: none
  QkNorm qk_norm;
  std::optional<int> rope;
  std::optional<QueryGrowth> query_growth;
  int cache_group;
};

using MixerSpec = std::variant<AttentionSpec>;

struct GatedSpec {
  int size;
  Activation activation;
};

struct PlainSpec {
  int size;
  Activation activation;
};

using FeedForwardSpec = std::variant<GatedSpec, PlainSpec>;

enum class Residual : uint8_t { Sequential, Parallel };

struct LayerSpec {
  Residual residual;
  MixerSpec mixer;
  FeedForwardSpec feed_forward;
};

struct ModelSpec {
  int vocab_size;
  int hidden_size;
  Norm norm;
  float embedding_scale;
  float residual_scale;
  float logit_scale;
  float logit_softcap;    // 0: none
  int learned_positions;  // 0: none
  std::vector<RopeSpec> ropes;
  std::vector<CacheGroup> cache_groups;
  std::vector<LayerSpec> layers;
};

struct ModelFile {
  std::string path;
  int64_t size;
};

enum class RowLayoutKind : uint8_t { Runs, Transposed };

// Where the rows of a matrix are that don't lie one after the other; of a vector, its elements. Runs: `run` rows side by side, the next
// ones `stride` rows after the first of these. Transposed: element [row, column] is column * stride + row elements from the first.
struct RowLayout {
  RowLayoutKind kind;
  int run;
  int stride;
};

// Scales of a matrix in F8_E4M3, in a tensor of their own: a grid of one for each block of rows and columns of the file's matrix, of which
// this one begins with row `first`.
struct WeightScales {
  std::string matrix;  // the file's name of the matrix, and of these: for messages
  std::string name;
  int file;
  int64_t offset;
  DType type;  // F32, F16 or BF16
  int block_rows;
  int block_cols;
  int first;
};

struct TensorRow {
  std::string name;
  int file;
  int64_t offset;
  DType type;
  std::vector<int> shape;  // one to three dimensions; the last is contiguous
  bool plus_one;
  std::optional<RowLayout> layout;
  std::optional<WeightScales> scales;  // F8_E4M3's, which has elements alone at `offset`
};

// Of one row along the last dimension as a back end takes it, and of all.
int64_t row_bytes(const TensorRow& tensor);
int64_t tensor_bytes(const TensorRow& tensor);
// Of the piece of the file in which they lie.
int64_t extent_bytes(const TensorRow& tensor);
// Rows and columns of the grid of scales: of rows as many as the matrix needs.
int64_t scale_rows(const TensorRow& tensor);
int64_t scale_cols(const TensorRow& tensor);

struct ModelConfig {
  ModelSpec spec;
  std::vector<ModelFile> files;
  std::vector<TensorRow> tensors;
  Compute compute;
  DType kv_type;
  int page_size;
  std::vector<int> pages;  // of each cache group's pool
  int max_batch_tokens;
  int max_context;
};

// Of all tensors; INVALID_ARGUMENT above 2^53.
int64_t tensor_bytes(const ModelConfig& config);
// The element type of a part of the cache.
DType type_of(const CachePart& part, const ModelConfig& config);
// Bytes of a page of a group: all parts of page_size tokens in each of its layers.
int64_t page_bytes(const ModelConfig& config, const CacheGroup& group);

// Throws INVALID_ARGUMENT where sizes contradict each other, FILE_INVALID for a tensor outside its file. Ranges of single numbers are
// checked where they are read; what a mixer or feed-forward asks of its own sizes, where it is made.
void check(const ModelConfig& config);
// Throws UNSUPPORTED_MODEL for what the back end's kernels don't take.
void check_limits(const ModelSpec& spec, const Backend& backend);

}  // namespace kvasir
