#pragma once
// What a model is and how it is run: the C++ twin of lib/model/spec.ts, with the same names. Alternatives are tagged by `kind` there and
// are variants here.
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "ops/matmul.h"

namespace kvasir {

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

struct AttentionSpec {
  int query_heads;
  int kv_heads;
  int head_size;
  float scale;
  int rope;
  int cache_group;
};

using MixerSpec = std::variant<AttentionSpec>;

struct GatedSpec {
  int size;
  Activation activation;
};

using FeedForwardSpec = std::variant<GatedSpec>;

struct LayerSpec {
  MixerSpec mixer;
  FeedForwardSpec feed_forward;
};

struct ModelSpec {
  int vocab_size;
  int hidden_size;
  float norm_epsilon;
  float embedding_scale;
  std::vector<RopeSpec> ropes;
  std::vector<CacheGroup> cache_groups;
  std::vector<LayerSpec> layers;
};

struct ModelFile {
  std::string path;
  int64_t size;
};

struct TensorRow {
  std::string name;
  int file;
  int64_t offset;
  DType type;
  std::vector<int> shape;  // one to three dimensions; the last is contiguous
  bool plus_one;
};

// Of one row along the last dimension, and of all.
int64_t row_bytes(const TensorRow& tensor);
int64_t tensor_bytes(const TensorRow& tensor);

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

}  // namespace kvasir
