#pragma once
// What an engine is made of: the C++ twin of lib/model/spec.ts and of NativeConfig in lib/native.ts, with the same names.
#include <cstdint>
#include <string>
#include <vector>

#include "ops/glu.h"

namespace kvasir {

struct RopeSpec {
  std::vector<float> frequencies;  // radians per position, one for each rotated pair
  float scale;
  bool interleaved;
};

struct CacheGroup {
  int window;  // 0: all
  int kv_heads;
  int head_size;
  std::vector<int> layers;
};

struct AttentionSpec {
  int query_heads;
  int kv_heads;
  int head_size;
  float scale;
  int rope;
  int cache_group;
};

struct FeedForwardSpec {
  int size;
  Activation activation;
};

struct LayerSpec {
  AttentionSpec attention;
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
  int rows;  // 1 for a vector
  int cols;
  bool plus_one;
};

int64_t row_bytes(const TensorRow& tensor);
int64_t tensor_bytes(const TensorRow& tensor);

struct EngineConfig {
  ModelSpec spec;
  std::vector<ModelFile> files;
  std::vector<TensorRow> tensors;
  std::string isa;
  Compute compute;
  DType kv_type;
  int threads;
  int page_size;
  std::vector<int> pages;  // of each cache group's pool
  int max_slots;
  int max_batch_tokens;
  int max_context;
};

// Throws INVALID_ARGUMENT where sizes contradict each other, FILE_INVALID for a tensor outside its file. Ranges of single numbers are
// checked where they are read.
void check(const EngineConfig& config);

}  // namespace kvasir
