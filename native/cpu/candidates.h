#pragma once
// The stages of ops/sample.h from top-k to the draw, over one row. Vector passes find the few tokens that decide; those are ranked in float64.
//
// A stage keeps the tokens that come first in an order until their weights reach a target. Passes add the weights of a row up by bins of
// logits, largest first; the bin in which the target is reached is ranked. A sum is that of 8 lanes (token i in lane i mod 8, ascending), of
// a bin or of a piece of 512 tokens, the lanes pairwise, then of the bins by descending logit, of the pieces by ascending token. Weights are
// positive, so that any order of summation is within V * 2^-53 (1 in 10^10 at most) of the exact sum: the tokens that are kept, and the one
// that is drawn, are those of every other order unless a running sum is that close to its target. What is summed up depends on the row
// alone.
#include <span>
#include <vector>

#include "cpu/sample_passes.h"
#include "ops/sample.h"

namespace kvasir::cpu {

// A token while a stage ranks it: by key, ties by token.
struct Ranked {
  double key;
  double weight;
  int32_t place;  // among the candidates, whose tokens ascend
};

// What a worker needs for one row: 8 V bytes and what does not depend on V; where a slot asks for typical_p, 12 V, and 24 V hardly touched.
struct CandidateMemory {
  std::vector<double> weights;          // [V]
  std::vector<double> pieces;           // sums of weights
  std::vector<int32_t> places, tokens;  // [kFew]
  std::vector<float> few_logits;        // [kFew]
  std::vector<double> few_weights;      // [kFew]
  std::vector<float> nearness;          // [V] where a slot asks for typical_p
  std::vector<Ranked> ranked;           // capacity kFew; V where a slot asks for typical_p: so many distances may round to the same
  double bins[kBins][kSums];

  // What follows for rows of `vocab` logits allocates nothing.
  void reserve(int vocab, bool typical);
};

class Candidates {
 public:
  // `logits` have no NaN, no +infinity, and `largest` is one that is finite.
  Candidates(const SamplePasses& passes, CandidateMemory& memory, std::span<const float> logits, double largest, double temperature);

  // top-k to min-p.
  void filter(const SampleParams& params);
  // After filter(); u in [0, 1).
  int32_t draw(double u);
  // 1 for those that are left, weights of 0 aside.
  void mark(std::span<uint8_t> kept) const;

 private:
  struct Range {
    float low;      // that is in it
    float high;     // that is not
    double before;  // weights of what reaches `high`
  };
  void weigh();
  double add_up();
  Range find_range(double target);
  Range narrow(Range range, double target) const;
  Ranked find_largest(double target);
  Ranked find_tied(const Range& range, double target) const;
  void keep_largest(double target);
  void keep_listed(int count);
  void leave_out_light(double share);
  void keep_typical(double share);
  int32_t token(int place) const { return tokens_ != nullptr ? tokens_[place] : place; }
  double weight(int place) const { return weights_ != nullptr ? weights_[place] : 1; }

  const SamplePasses& passes_;
  CandidateMemory& memory_;
  const float* logits_;              // [count_]
  const int32_t* tokens_ = nullptr;  // [count_]; null: 0, 1, ...
  double* weights_ = nullptr;        // [count_]; null: not known yet, all weigh 1
  int count_;
  const double largest_, temperature_;
};

}  // namespace kvasir::cpu
