#pragma once
// sample: see ops/sample.h. Compiled once, in float64; rows run in parallel.
#include <vector>

#include "cpu/threads.h"
#include "ops/sample.h"

namespace kvasir::cpu {

// A token that may still be drawn. score = (logit - largest logit) / temperature; weight = exp(score).
struct Candidate {
  int32_t token;
  double score;
  double weight;
};

// A candidate while a stage ranks it: by key, ties by token.
struct Ranked {
  double key;
  double size;
  int32_t token;
};

class Sampler {
 public:
  void run(const Sample& op, Threads& threads);

  // The tokens that the stages of `params` leave, ascending, for tests; empty where no logit is finite. temperature > 0.
  static std::vector<int32_t> kept_tokens(std::span<const float> logits, const SampleParams& params);

 private:
  // What a worker needs for one row, sized before the rows run.
  struct Workspace {
    std::vector<Candidate> candidates;  // capacity V
    std::vector<Ranked> ranked;         // capacity V
    std::vector<double> weights;        // [V]
    std::vector<TokenBias> raw;         // logits before they were adjusted, in order of change
  };

  static void run_row(SampleRow& row, int vocab, Workspace& workspace);

  std::vector<Workspace> workspaces_;  // of each worker
};

}  // namespace kvasir::cpu
