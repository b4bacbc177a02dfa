#pragma once
// How a tile of gate and up ends where a thread has sums of both for the same column (matmul_prompt_bf16.cu): activation(gate) * up is made
// in registers and goes through shared memory as it lies in y, tiles of 8 tokens by 64 columns, which a warp of those that copy sends from
// there. While one warpgroup ends, the other one multiplies; both wait for nothing but that the tile before has been sent. (A warp of
// matmul_prompt.cu has rows of gate or of up: GatedEnd of matmul_prompt_ends.cuh.)
#include "cuda/kernels/matmul_tiles.cuh"
#include "cuda/kernels/mma.cuh"

namespace kvasir::cuda {

template <int width>
struct StagedY {
  uint8_t tiles[width / kTileRows][kTileBytes];
  uint64_t written, sent;  // by all warps that multiply; from here

  __device__ void init() {
    if (threadIdx.x > 0) return;
    init_barrier(&written, kPanels);
    init_barrier(&sent, 1);
  }
};

// Whether y goes through shared memory: in bfloat16.
__device__ inline bool sends(const Launch& launch) {
  return launch.parts[0].y.type == DType::BF16;
}

// y of all tiles of this block, by a warp, from where the consumers have put it.
template <int width, class Tiles>
__device__ inline void send(const Launch& launch, const Tiles& tiles, StagedY<width>& staged) {
  const View& y = launch.parts[0].y;
  if (!sends(launch)) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  int parity = 0;
  for (int tile = tiles.first(); tile < tiles.count; tile += tiles.apart(), parity ^= 1) {
    const Work work = tiles.work(tile);
    const int token = work.first_token + lane * kTileRows;
    wait(&staged.written, parity);
    const bool has = lane < width / kTileRows && token < launch.rows && work.row_tile * (kPanels / 2) < launch.panels;
    if (has) copy_bulk_out(tile_address(y, token, work.row_tile), staged.tiles[lane], kTileBytes);
    wait_for_copies_out<true>();
    __syncwarp();
    if (lane == 0) arrive(&staged.sent);
  }
  wait_for_copies_out<false>();
}

// y of a warp's 8 columns. Rows 0 to 7 of its part of the operand are gate's, 8 to 15 up's.
template <int width>
class PairedGateEnd {
 public:
  // `column`: the warp's first one of the tile.
  __device__ PairedGateEnd(const Launch& launch, const Work& work, int column, int lane)
      : launch_(launch), y_(launch.parts[0].y), first_token_(work.first_token), lane_(lane), col_(column + lane / 4) {
    n_ = work.row_tile * kTileCols + col_, has_ = n_ < launch.parts[0].weight.rows;
    if (has_) gate_bias_ = bias_of(launch.parts[0], n_), up_bias_ = bias_of(launch.parts[1], n_);
  }

  // `scales`: of the tile's tokens, or none.
  __device__ void put(const Sums<width>& sums, const float* scales, StagedY<width>& staged) const {
    with_activation(launch_.activation, [&](Activation activation) { put_as(activation, sums, scales, staged); });
  }

 private:
  static constexpr int kTurn = 32;  // tokens at once: all of them written out are more instructions than caches hold

  __device__ void put_as(Activation activation, const Sums<width>& sums, const float* scales, StagedY<width>& staged) const {
#pragma unroll 1
    for (int first = 0; first < width; first += kTurn) {
      float some[kTurn / 2];
#pragma unroll
      for (int turn = 0; turn < width; turn += kTurn) {
        if (turn != first) continue;
#pragma unroll
        for (int i = 0; i < kTurn / 2; ++i) some[i] = sums[turn / 2 + i];
      }
      put_turn(activation, first, some, scales, staged);
    }
  }

  // Of each tile of 8 tokens a lane has two.
  __device__ void put_turn(Activation activation, int first, const float (&sums)[kTurn / 2], const float* scales,
                           StagedY<width>& staged) const {
    constexpr int kOwnTiles = kTurn / kTileRows;
    float2 y[kOwnTiles];
#pragma unroll
    for (int i = 0; i < kOwnTiles; ++i) {
      const float* of_tile = &sums[4 * i];
      const int token = first + i * kTileRows + lane_ % 4 * 2;
      const float2 scale = {scale_of(launch_, scales, token), scale_of(launch_, scales, token + 1)};
      y[i].x = activate_fast(activation, scaled(of_tile[0], scale.x, gate_bias_)) * scaled(of_tile[2], scale.x, up_bias_);
      y[i].y = activate_fast(activation, scaled(of_tile[1], scale.y, gate_bias_)) * scaled(of_tile[3], scale.y, up_bias_);
    }
    if (!sends(launch_)) return store_floats(first, y);
    // Two columns are one word: of two lanes that have them, one takes the first token, the other the second.
    const int core = col_ / 32 * 4 + col_ % 8 / 2, token = lane_ % 4 * 2 + col_ % 2;
    const uint32_t halves = col_ % 2 == 0 ? 0x5410 : 0x3276;  // both lanes' low ones, or both high ones
#pragma unroll
    for (int i = 0; i < kOwnTiles; ++i) {
      const uint32_t own = has_ ? pack(__nv_bfloat16(), y[i].x, y[i].y) : 0, other = __shfl_xor_sync(0xffffffffu, own, 4);
      auto* units = reinterpret_cast<uint4*>(staged.tiles[first / kTileRows + i]);
      reinterpret_cast<uint32_t*>(&units[core * kTileRows + token])[col_ % 32 / 8] = __byte_perm(own, other, halves);
    }
  }

  template <int tiles>
  __device__ void store_floats(int first, const float2 (&y)[tiles]) const {
#pragma unroll
    for (int i = 0; i < tiles; ++i) {
      const int token = first_token_ + first + i * kTileRows + lane_ % 4 * 2;
      if (has_ && token < launch_.rows) row_of(y_, token)[n_] = y[i].x;
      if (has_ && token + 1 < launch_.rows) row_of(y_, token + 1)[n_] = y[i].y;
    }
  }

  const Launch& launch_;
  const View& y_;
  const int first_token_, lane_, col_;
  int n_;
  bool has_;
  float gate_bias_ = 0, up_bias_ = 0;
};

}  // namespace kvasir::cuda
