#pragma once
// What the sampler does with every token of a row, compiled for each instruction set (kernels/sample_passes.cc). candidates.cc decides.
#include <cstdint>

namespace kvasir::cpu {

struct RowLook {
  float largest;
  bool numbers;  // no logit is NaN or +infinity
};

// Bins of logits by their distance from the largest: floor(distance * scale), the last has all that follow. Nowhere does a larger logit
// fall into a later bin, so that a bin is a range of logits.
inline constexpr int kBins = 512, kSums = 8;
struct Bins {
  float largest;
  float scale;

  __attribute__((always_inline)) int of(float logit) const {  // compiled for several instruction sets: no copy that linkers may merge
    const float place = (largest - logit) * scale;
    return static_cast<int>(place < kBins - 1 ? place : kBins - 1);
  }
};

// A sum of kSums lanes, pairwise.
inline __attribute__((always_inline)) double sum_lanes(const double (&lanes)[kSums]) {
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

// What reaches a logit: how many, and the sum of their weights.
struct Reach {
  double weight;
  int count;
};

// Where there are no weights (null) yet, all weigh 1.
struct SamplePasses {
  RowLook (*look)(const float* logits, int count);
  // weights = exp(x), x = (logits - largest) / temperature, within 3 + |x| ulp; 0 below e^-707. The largest weighs 1.
  void (*weigh)(const float* logits, int count, double largest, double temperature, double* weights);
  // Every 8th in a lane, ascending; the lanes then pairwise.
  double (*sum)(const double* weights, int count);
  // The sum of weight * (logit - largest) / temperature.
  double (*sum_scores)(const float* logits, const double* weights, int count, double largest, double temperature);
  // nearness = -|log_total - (logit - largest) / temperature - entropy|, rounded.
  void (*find_nearness)(const float* logits, int count, double largest, double temperature, double log_total, double entropy,
                        float* nearness);
  // Adds each weight to its bin, every 8th to the same lane.
  void (*fill_bins)(const float* logits, const double* weights, int count, const Bins& bins, double (*sums)[kSums]);
  // Of those that are at least `low`.
  Reach (*reach)(const float* logits, const double* weights, int count, float low);
  // The places of low <= logit < high, ascending. How many; none are noted beyond `most`, and where there are more, the number is some
  // number above it.
  int (*list)(const float* logits, int count, float low, float high, int32_t* places, int most);
  // The weights of what comes after (logit, place) in the order of descending logits become 0; and those below `limit`.
  void (*drop_after)(const float* logits, int count, float logit, int place, double* weights);
  void (*drop_light)(double* weights, int count, double limit);
};

}  // namespace kvasir::cpu
