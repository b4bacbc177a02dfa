#pragma once
// The forward pass: one decoder runs every ModelSpec, one line per op.
#include <atomic>
#include <initializer_list>
#include <memory>
#include <vector>

#include "engine/batch.h"
#include "engine/kv_cache.h"
#include "engine/weights.h"
#include "ops/matmul.h"

namespace kvasir {

class Decoder {
 public:
  // Scratch for the largest step is taken here, once. `backend` outlives the decoder.
  Decoder(const EngineConfig& config, Backend& backend, Weights weights);

  // Runs the batch's tokens [T] through all layers; their keys and values are in the cache afterwards. Throws CLOSED once `cancelled` is
  // set.
  void forward(const Batch& batch, const std::vector<int32_t>& tokens, const std::atomic<bool>& cancelled);

  // Logits [rows, V] of tokens of the last forward(), given by their index in [0, T); at most kLogitRows at a time.
  // The result is overwritten by the next call.
  float* logits(const std::vector<int32_t>& rows);
  static constexpr int kLogitRows = 32;

  size_t weight_bytes() const { return weights_.bytes; }
  size_t cache_bytes() const { return cache_.bytes(); }

 private:
  struct Step;  // what every layer of one step shares
  void attention(const Step& step, int layer);
  void feed_forward(const Step& step, int layer);
  void norm(const float* x, const Vector& weight, float* y, int rows, int cols);
  void project(const float* x, int count, std::initializer_list<Projection> outputs);

  const EngineConfig& config_;
  Backend& backend_;
  Weights weights_;
  KvCache cache_;
  std::vector<Vector> frequencies_;  // of each rope
  // Scratch for T tokens: the residual stream x [T, hidden], a layer's input or its result h, and the inside of attention and MLP.
  Vector x_, h_, q_, k_, v_, mixed_, gate_, up_;
  Vector logit_rows_, logits_;
};

}  // namespace kvasir
