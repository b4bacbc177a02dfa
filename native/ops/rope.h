#pragma once
// rope: rotates pairs of the first 2 * pairs dimensions of each head by angle = position * frequencies[i]     (Su et al. 2021)
//
//   (a, b) -> (a cos - b sin, a sin + b cos) * scale        pair i is dimensions (i, i + pairs), or (2i, 2i + 1) if interleaved
//   x            [T, H, D]  float32, in place; dimensions from 2 * pairs on stay as they are
//   positions    [T]        int32
//   frequencies  [pairs]    float32, radians per position
//
// The angle is the float32 product; its cosine and sine are computed in float64 and rounded. Bytes: 8 * T * H * D; limited by memory.
#include "ops/backend.h"

namespace kvasir {

struct Rope {
  float* x;
  const int32_t* positions;
  const float* frequencies;
  int count;  // T
  int heads;
  int head_size;
  int pairs;
  float scale;
  bool interleaved;
};

}  // namespace kvasir
