#pragma once
// The weights by name, each read once with pread into its final, repacked place.
#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "engine/config.h"
#include "ops/backend.h"

namespace kvasir {

using Matrix = std::unique_ptr<Weight>;
using Vector = std::unique_ptr<Buffer>;  // float32

// Null where the model has no such tensor.
struct LayerWeights {
  Vector attn_norm, q_norm, k_norm, post_attn_norm, mlp_norm, post_mlp_norm;
  Vector q_bias, k_bias, v_bias, o_bias, gate_bias, up_bias, down_bias;
  Matrix q, k, v, o, gate, up, down;
};

struct Weights {
  Matrix embed;
  Matrix lm_head;  // null: tied to embed
  Vector final_norm;
  std::vector<LayerWeights> layers;
  size_t bytes = 0;
};

// Bytes of tensor data read so far, and in all.
using Progress = std::function<void(int64_t done, int64_t total)>;

// Throws FILE_INVALID for a file that is shorter than promised, a missing tensor or a wrong shape, FILE_NOT_FOUND, OUT_OF_MEMORY, and
// CLOSED once `cancelled` is set.
Weights load_weights(const EngineConfig& config, Backend& backend, const Progress& progress, const std::atomic<bool>& cancelled);

}  // namespace kvasir
