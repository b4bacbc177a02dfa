// The sampler's passes over a row: plain loops over float64 that the compiler turns into this instruction set's vectors. Nothing but the
// fused operations of `exp` differs between instruction sets.
#include "cpu/sample_passes.h"

#include "cpu/kernels/loops.h"

namespace kvasir::cpu::KVASIR_ISA {
namespace {

constexpr int kListed = 32;  // places that `list` looks at together: most often none is wanted
constexpr int kPiece = 512;  // elements of a loop of one kind: the compiler makes vectors of those alone

KVASIR_INLINE double fused(double a, double b, double c) {
#ifdef __FMA__
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}

template <class To, class From>
KVASIR_INLINE To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}

// e^x for x <= 0: range reduction by ln 2 in two parts, then 1 + r + r^2 q(r), q of degree 9 through e^r at the Chebyshev nodes of
// |r| <= ln 2 / 2, which is within 2^-55. The power of two goes straight into the exponent, which does not underflow above -707.
KVASIR_INLINE double exp(double x) {
  constexpr double kLeast = -707;
  const double shifted = fused(x > kLeast ? x : kLeast, 0x1.71547652b82fep0, 0x1.8p52);  // the integer is in the lowest bits
  const double n = shifted - 0x1.8p52;
  const double r = fused(n, -0x1.cf79abc9e3b3ap-40, fused(n, -0x1.62e42fefa0000p-1, x > kLeast ? x : kLeast));
  double p = 0x1.af38a9b0ec855p-26;
  p = fused(p, r, 0x1.289185613a3d6p-22);
  p = fused(p, r, 0x1.71de0dae63bb3p-19);
  p = fused(p, r, 0x1.a019b90d2ae7ap-16);
  p = fused(p, r, 0x1.a01a01a7c41d5p-13);
  p = fused(p, r, 0x1.6c16c1788bd9p-10);
  p = fused(p, r, 0x1.11111111109b3p-7);
  p = fused(p, r, 0x1.5555555553d63p-5);
  p = fused(p, r, 0x1.5555555555556p-3);
  p = fused(p, r, 0x1.0000000000001p-1);
  p = fused(p, r * r, r) + 1;
  const uint64_t power = bits_as<uint64_t>(p) + (bits_as<uint64_t>(shifted) << 52);
  return bits_as<double>(power & (x > kLeast ? ~uint64_t(0) : uint64_t(0)));
}

RowLook look(const float* logits, int count) {
  f32x16 largest_value = splat(-__builtin_inff());
  i32x16 largest_bits = splat_i32(0);
  for_vectors(0, count, [&](int64_t i, int lanes) {
    const f32x16 values = select_range(0, lanes, load_lanes(logits + i, lanes), splat(-__builtin_inff()));
    largest_value = max(largest_value, values);
    largest_bits = max(largest_bits, bits(values) & splat_i32(0x7fffffff));
  });
  const float best = largest(largest_value);
  return {best, largest(largest_bits) <= 0x7f800000 && best < __builtin_inff()};
}

void weigh(const float* __restrict logits, int count, double largest, double temperature, double* __restrict weights) {
  const double scale = least(1 / temperature, __DBL_MAX__);  // 0 times it is 0
  for (int i = 0; i < count; ++i) weights[i] = exp((logits[i] - largest) * scale);
}

double sum(const double* weights, int count) {
  double lanes[kSums] = {};
  int i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (int lane = 0; lane < kSums; ++lane) lanes[lane] += weights[i + lane];
  }
  for (; i < count; ++i) lanes[i % kSums] += weights[i];
  return sum_lanes(lanes);
}

void find_nearness(const float* __restrict logits, int count, double largest, double temperature, double log_total, double entropy,
                   float* __restrict nearness) {
  for (int i = 0; i < count; ++i) {
    nearness[i] = static_cast<float>(-__builtin_fabs(log_total - (logits[i] - largest) / temperature - entropy));
  }
}

// How many elements a piece of a loop has.
template <class Part>
KVASIR_INLINE void for_pieces(int count, const Part& part) {
  for (int first = 0; first < count; first += kPiece) part(first, least(kPiece, count - first));
}

// Without vectors, but with the lanes' places as constants.
template <class Weight>
KVASIR_INLINE void add_to_bins(const int* bin, int size, double (*sums)[kSums], const Weight& weight) {
  int i = 0;
  for (; i + kSums <= size; i += kSums) {
#pragma GCC unroll 8
    for (int lane = 0; lane < kSums; ++lane) sums[bin[i + lane]][lane] += weight(i + lane);
  }
  for (; i < size; ++i) sums[bin[i]][i % kSums] += weight(i);
}

void fill_bins(const float* logits, const double* weights, int count, const Bins& bins, double (*sums)[kSums]) {
  const Bins own = bins;
  for_pieces(count, [&](int first, int size) {
    int bin[kPiece];
    for (int i = 0; i < size; ++i) bin[i] = own.of(logits[first + i]);
    if (weights != nullptr) {
      add_to_bins(bin, size, sums, [&](int i) { return weights[first + i]; });
    } else {
      add_to_bins(bin, size, sums, [](int) { return 1.0; });
    }
  });
}

Reach reach(const float* logits, const double* weights, int count, float low) {
  Reach all{0, 0};
  for_pieces(count, [&](int first, int size) {
    double reached[kPiece];
    for (int i = 0; i < size; ++i) all.count += logits[first + i] >= low ? 1 : 0;
    if (weights == nullptr) return;
    for (int i = 0; i < size; ++i) {
      const double weight = weights[first + i];
      reached[i] = logits[first + i] >= low ? weight : 0.0;
    }
    all.weight += sum(reached, size);
  });
  if (weights == nullptr) all.weight = all.count;
  return all;
}

double sum_scores(const float* logits, const double* weights, int count, double largest, double temperature) {
  double all = 0;
  for_pieces(count, [&](int first, int size) {
    double scores[kPiece];
    for (int i = 0; i < size; ++i) {
      const double score = (logits[first + i] - largest) / temperature;
      scores[i] = weights[first + i] * (score > -__DBL_MAX__ ? score : -__DBL_MAX__);
    }
    all += sum(scores, size);
  });
  return all;
}

int list(const float* logits, int count, float low, float high, int32_t* places, int most) {
  int listed = 0;
  for (int first = 0; first < count && listed <= most; first += kListed) {
    const int size = least(kListed, count - first);
    uint32_t wanted = 0;  // a bit for each place
    for (int i = 0; i < size; ++i) wanted |= (logits[first + i] >= low) & (logits[first + i] < high) ? uint32_t(1) << i : 0;
    for (; wanted != 0; wanted &= wanted - 1, ++listed) {
      if (listed < most) places[listed] = first + __builtin_ctz(wanted);
    }
  }
  return listed;
}

void drop_after(const float* __restrict logits, int count, float logit, int place, double* __restrict weights) {
  for (int i = 0; i < count; ++i) {
    const bool keeps = (logits[i] > logit) | ((logits[i] == logit) & (i <= place));
    weights[i] = keeps ? weights[i] : 0.0;
  }
}

void drop_light(double* weights, int count, double limit) {
  for (int i = 0; i < count; ++i) weights[i] = weights[i] < limit ? 0.0 : weights[i];
}

}  // namespace

extern const SamplePasses sample_passes;
const SamplePasses sample_passes{look, weigh, sum, sum_scores, find_nearness, fill_bins, reach, list, drop_after, drop_light};

}  // namespace kvasir::cpu::KVASIR_ISA
