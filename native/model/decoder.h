#pragma once
// The forward pass: one decoder runs every ModelSpec, one line per op, on every back end.
#include <atomic>
#include <memory>
#include <vector>

#include "model/layer.h"

namespace kvasir {

class Decoder {
 public:
  // Reads the weights, and takes pages and scratch for the largest step, once. `config` and `backend` outlive the decoder. A row of logits has
  // room for `most_vocab`, those of all that slots of the engine may adjust.
  Decoder(const ModelConfig& config, Backend& backend, WeightSource& weights, int most_vocab);

  // Runs the step's tokens [T] through all layers; their keys and values are in the cache afterwards. CLOSED once `cancelled` is set.
  void forward(const StepInputs& step, const std::atomic<bool>& cancelled);

  // Logits of outputs [first, first + count) of the step that forward() ran; at most logit_rows() of them.
  int logit_rows() const { return activations_.logit_rows; }
  void compute_logits(const StepInputs& step, int first, int count);
  View logits() const { return logits_; }  // [count, V] float32, until they are computed anew

  size_t weight_bytes() const;
  size_t cache_bytes() const { return pools_.bytes(); }

 private:
  struct NormWeights {
    Vector weight, bias;
  };
  struct Layer {
    Residual residual;
    NormWeights attn_norm, mlp_norm;  // without weights: none
    Vector post_attn_norm, post_mlp_norm;
    std::unique_ptr<Mixer> mixer;
    std::unique_ptr<FeedForward> feed_forward;
  };

  Layer read_layer(WeightSource& source, int index);
  View scratch(int rows, int cols, DType type);
  void allocate_workspace();
  NormWeights read_norm(WeightSource& source, const std::string& name);
  void add_norm(const StepInputs& step, View delta, const Vector& post, View y, const NormWeights* norm);
  void run_halves(const LayerContext& context, const Layer& layer, const NormWeights* next);

  const ModelConfig& config_;
  Backend& backend_;
  const Activations activations_;
  PagePools pools_;
  std::vector<Vector> frequencies_;  // of each rope
  Matrix embed_, lm_head_;           // lm_head_ is null where it is tied to embed_
  Matrix position_embed_;            // null where no positions are learned
  NormWeights final_norm_;
  std::vector<Layer> layers_;
  std::vector<std::unique_ptr<Buffer>> memory_;
  std::unique_ptr<Buffer> workspace_;
  View x_;                            // [T, hidden] the residual
  View normed_;                       // [T, hidden] what a half of a layer reads
  View delta_;                        // [T, hidden] what it adds
  View rows_, normed_rows_, logits_;  // [logit_rows, ...]
};

}  // namespace kvasir
