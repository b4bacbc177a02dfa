#pragma once
// How a tile of 128 rows of a prompt's matmul ends (matmul_prompt*.cu; for gate and up of the bf16 one matmul_prompt_gate.cuh): its sums go
// through shared memory, some tokens at a time, to lanes that have neighbours in memory. Of gate and up the first 64 rows are gate's. Only
// what has to name registers is unrolled: an end that is written out has more instructions than caches hold, and each branch in it keeps
// what follows from beginning. `scales` are those of a tile's tokens, or none.
#include <type_traits>

#include "cuda/kernels/matmul_tiles.cuh"
#include "cuda/kernels/mma.cuh"

namespace kvasir::cuda {

inline constexpr int kTileOutputs = kPanels * kPanelRows;
// Tokens whose sums are on their way at once; four more numbers a token keep banks apart.
inline constexpr int kEndTokens = 32;
using TokenOfSums = float[kTileOutputs + 4];
using StagedSums = TokenOfSums[kEndTokens];

// The thread's number, as if it were not known before: what follows from it would take registers from the products all the time.
__device__ inline int thread_at_end() {
  int thread = static_cast<int>(threadIdx.x);
  asm volatile("" : "+r"(thread));
  return thread;
}

// Has what a tile of so many tokens is added to brought to L2, 32 lines each turn, by a warp that has little else to do. A tile has a turn
// for each stage: where k is short, not for all lines.
template <int width>
__device__ inline void bring_residual(const Launch& launch, const Work& work, int turn) {
  constexpr int kLine = 128 / sizeof(float), kLines = kTileOutputs / kLine;  // of a token
  const int line = turn * kWarp + static_cast<int>(threadIdx.x) % kWarp, token = work.first_token + line / kLines;
  const int n = work.row_tile * kTileOutputs + line % kLines * kLine;
  if (!launch.added.x.data || line >= width * kLines || token >= launch.rows || n >= launch.parts[0].weight.rows) return;
  asm volatile("prefetch.global.L2 [%0];" ::"l"(row_of(launch.added.x, token) + n));
}

// Some tokens of y of gate and up, activation(gate) * up: 16 bytes of a tile for each thread, whose columns are pairs that are eight apart.
class GatedEnd {
 public:
  __device__ GatedEnd(const Launch& launch, const Work& work, int thread)
      : launch_(launch), work_(work), core_(thread / kTileRows % 8), in_tiles_(thread / (8 * kTileRows)), row_(thread % kTileRows) {}

  __device__ void put(int first, StagedSums& staged, const float* scales) const {
    with_activation(launch_.activation, [&](Activation activation) { put_as(activation, first, staged, scales); });
  }

 private:
  static constexpr int kColumnPairs = 4;

  __device__ void put_as(Activation activation, int first, const StagedSums& staged, const float* scales) const {
    const View& y = launch_.parts[0].y;
    const int own = in_tiles_ * kTileRows + row_, token = work_.first_token + first + own, col = core_ / 4 * 32 + core_ % 4 * 2;
    const int n = work_.row_tile * kTileCols + col, count = launch_.parts[0].weight.rows - n;
    const float scale = scale_of(launch_, scales, first + own);
    float2 gate[kColumnPairs], up[kColumnPairs];
#pragma unroll
    for (int i = 0; i < kColumnPairs; ++i) {
      gate[i] = scaled_pair(&staged[own][col + 8 * i], scale, launch_.parts[0], n + 8 * i, count - 8 * i);
      up[i] = scaled_pair(&staged[own][kTileCols + col + 8 * i], scale, launch_.parts[1], n + 8 * i, count - 8 * i);
    }
    uint32_t pairs[kColumnPairs];
#pragma unroll
    for (int i = 0; i < kColumnPairs; ++i) {
      gate[i].x = activate_fast(activation, gate[i].x) * up[i].x, gate[i].y = activate_fast(activation, gate[i].y) * up[i].y;
      pairs[i] = pack(__nv_bfloat16(), count > 8 * i ? gate[i].x : 0.0f, count > 8 * i + 1 ? gate[i].y : 0.0f);
    }
    if (work_.row_tile * (kPanels / 2) >= launch_.panels) return;  // so of a cluster's last blocks
    if (y.type == DType::BF16) {
      if (token >= (launch_.rows + kTileRows - 1) / kTileRows * kTileRows) return;
      auto* tile = reinterpret_cast<uint4*>(tile_address(y, token, work_.row_tile));
      tile[core_ * kTileRows + row_] = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
    } else if (token < launch_.rows) {
      float* to = static_cast<float*>(y.data) + token * y.stride + n;
#pragma unroll
      for (int i = 0; i < kColumnPairs; ++i) {
        if (count > 8 * i) to[8 * i] = gate[i].x;
        if (count > 8 * i + 1) to[8 * i + 1] = gate[i].y;
      }
    }
  }

  __device__ static float2 scaled_pair(const float* sums, float scale, const Part& part, int n, int count) {
    const float2 pair = *reinterpret_cast<const float2*>(sums);
    float2 bias{};
    if (part.bias.data) bias = {count > 0 ? bias_of(part, n) : 0.0f, count > 1 ? bias_of(part, n + 1) : 0.0f};
    return {scaled(pair.x, scale, bias.x), scaled(pair.y, scale, bias.y)};
  }

  const Launch& launch_;
  const Work work_;
  const int core_, in_tiles_, row_;
};

// Four columns of some tokens: to y with their bias, or added to the residual, with the norm's y and sums of squares if the launch asks for
// them. The lanes of a warp have all columns of a token. What tokens are added to comes from as far as L2: `ahead` fetches it before the
// tokens before them are done, if there are registers for it.
template <int width, bool ahead>
class ColumnsEnd {
 public:
  __device__ ColumnsEnd(const Launch& launch, const Work& work, int thread)
      : launch_(launch), work_(work), added_(launch.added), thread_(thread), end_(min(launch.rows, work.first_token + width)) {
    const int panel = work.row_tile * kPanels + thread % kWarp / 4;
    const Part& part = part_of(launch, min(panel, launch.panels - 1));
    y_ = part.y, panel_ = panel - part.first_panel, n_ = panel_ * kPanelRows + thread % 4 * 4;
    count_ = panel < launch.panels ? max(0, min(4, part.weight.rows - n_)) : 0;
    in_fours_ = count_ == 4 && y_.type == DType::F32 && y_.stride % 4 == 0 && reinterpret_cast<uintptr_t>(y_.data) % 16 == 0;
    bias_ = of_columns(static_cast<const float*>(part.bias.data));
    if (ahead) fetch(token_of(0, 0));
  }

  __device__ void put(int first, StagedSums& staged, const float* scales) {
#pragma unroll 1
    for (int i = 0; i < kOwnTokens; i += kAtOnce) put_some(first, i, staged, scales);
    if (added_.y.data) put_normed(first, staged);
  }

 private:
  static constexpr int kOwnTokens = kEndTokens / kPanels, kAtOnce = ahead ? kOwnTokens : kOwnTokens / 2;

  __device__ int token_in_turn(int i) const {
    return thread_ / kWarp * kOwnTokens + i;
  }
  __device__ int token_of(int first, int i) const {
    return work_.first_token + first + token_in_turn(i);
  }

  // Begins to read what tokens are added to.
  __device__ void fetch(int token) {
    if (!added_.x.data) return;
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) fetched_[i] = has(token + i) ? __ldcg(place(added_.x, token + i)) : float4{};
  }

  __device__ void put_some(int first, int some, StagedSums& staged, const float* scales) {
    const int own = token_in_turn(some), token = token_of(first, some);
    float4 y[kAtOnce], x[kAtOnce];
    if (!ahead) fetch(token);
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) x[i] = fetched_[i];
    if (ahead) fetch(token + kEndTokens);
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      y[i] = *reinterpret_cast<const float4*>(&staged[own + i][thread_ % kWarp * 4]);
      const float scale = scale_of(launch_, scales, first + own + i);
      y[i] = {scaled(y[i].x, scale, bias_.x), scaled(y[i].y, scale, bias_.y), scaled(y[i].z, scale, bias_.z),
              scaled(y[i].w, scale, bias_.w)};
    }
    if (added_.x.data) return add(token, y, x, &staged[own]);
    if (in_fours_) {
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        if (has(token + i)) *place(y_, token + i) = y[i];
      }
    } else {
      store_singly(token, y);
    }
  }

  __device__ float4 of_columns(const float* values) const {
    if (values == nullptr) return {};
    const auto at = [&](int i) { return i < count_ ? values[n_ + i] : 0.0f; };
    return {at(0), at(1), at(2), at(3)};
  }

  __device__ bool has(int token) const {
    return count_ > 0 && token < end_;
  }
  __device__ float4* place(const View& view, int token) const {
    return reinterpret_cast<float4*>(static_cast<float*>(view.data) + token * view.stride + n_);
  }

  __device__ void store_singly(int token, const float4 (&y)[kAtOnce]) const {
#pragma unroll 1
    for (int col = 0; col < count_; ++col) {
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const float value = col == 0 ? y[i].x : col == 1 ? y[i].y : col == 2 ? y[i].z : y[i].w;
        if (has(token + i)) store(y_, token + i, n_ + col, value);
      }
    }
  }

  // x: what y is added to. The norm's y takes the place of the sums.
  __device__ void add(int token, const float4 (&y)[kAtOnce], float4 (&x)[kAtOnce], TokenOfSums* normed) const {
    float squares[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      x[i] = {sum_of(x[i].x, y[i].x, added_.scale), sum_of(x[i].y, y[i].y, added_.scale), sum_of(x[i].z, y[i].z, added_.scale),
              sum_of(x[i].w, y[i].w, added_.scale)};
      squares[i] = part_of_squares(x[i]);
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (has(token + i)) *place(added_.x, token + i) = x[i];
    }
    if (!added_.y.data) return;
    const float4 weight = count_ > 0 ? *reinterpret_cast<const float4*>(added_.weight + n_) : float4{};
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (thread_ % 4 == 0 && has(token + i)) added_.left.values[int64_t(token + i) * parts_of(added_.left.cols) + panel_] = squares[i];
      *reinterpret_cast<float4*>(&normed[i][thread_ % kWarp * 4]) = {__fmul_rn(x[i].x, weight.x), __fmul_rn(x[i].y, weight.y),
                                                                     __fmul_rn(x[i].z, weight.z), __fmul_rn(x[i].w, weight.w)};
    }
  }

  // The norm's y of this warp's tokens into tiles, four tokens side by side: whole sectors, which memory takes four times as fast as parts
  // of them.
  __device__ void put_normed(int first, const StagedSums& staged) const {
    constexpr int kCores = kTileOutputs / 8;  // of a token: 16 bytes each, pairs of columns that are eight apart
    static_assert(kOwnTokens == 4);
    __syncwarp();
    const int own = token_in_turn(thread_ % kOwnTokens), token = token_of(first, thread_ % kOwnTokens);
#pragma unroll 1
    for (int i = 0; i < kCores; i += kWarp / kOwnTokens) {
      const int core = i + thread_ % kWarp / kOwnTokens, chunk = core / 8, col = chunk * kTileCols + core % 8 / 4 * 32 + core % 4 * 2;
      uint32_t pairs[4];
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const float2 pair = *reinterpret_cast<const float2*>(&staged[own][col + 8 * k]);
        pairs[k] = pack(__nv_bfloat16(), pair.x, pair.y);
      }
      const int64_t cols = work_.row_tile * (kTileOutputs / kTileCols) + chunk;
      if (token >= launch_.rows || cols * kTileCols >= added_.y.stride) continue;
      auto* tile = reinterpret_cast<uint4*>(tile_address(added_.y, token, cols));
      tile[core % 8 * kTileRows + token % kTileRows] = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
    }
  }

  const Launch& launch_;
  const Work work_;
  const Added& added_;
  const int thread_, end_;  // end_: behind the last token
  View y_;
  int panel_, n_, count_;
  bool in_fours_;
  float4 bias_, fetched_[kAtOnce];
};

// All tokens of a tile. `row` is what row of the tile a lane's first two sums of each four have, and the other two so many rows on.
template <class End, int width>
__device__ inline void end_tile(const Launch& launch, const Work& work, int row, int apart, StagedSums& staged, const Sums<width>& sums,
                                const float* scales) {
  const int thread = thread_at_end(), token = thread % 4 * 2;
  End end(launch, work, thread);
#pragma unroll 1
  for (int first = 0; first < width; first += kEndTokens) {
    sync_consumers();  // no one reads what was here before
#pragma unroll
    for (int turn = 0; turn < width; turn += kEndTokens) {
      if (turn != first) continue;
#pragma unroll
      for (int i = 0; i < kEndTokens / 2; ++i) staged[token + i / 4 * kTileRows + i % 2][row + i % 4 / 2 * apart] = sums[turn / 2 + i];
    }
    sync_consumers();
    end.put(first, staged, scales);
  }
}

}  // namespace kvasir::cuda
