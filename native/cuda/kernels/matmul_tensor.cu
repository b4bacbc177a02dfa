// matmul on the tensor cores, for packed weights (cuda/packed.cuh) and bfloat16 x: y[t][n] = sum_k W[n][k] x[t][k] + bias[n]
//
// mma.sync m16n8k16: 16 rows of a panel are the M, 8 tokens the N. Weights go from memory to registers in 16-byte loads and are made
// bfloat16 there, exactly (levels have at most 8 bits); a block's scale multiplies the partial sum of its 32 k (Q6_K: 16) in float32. Up to
// kMostTiles * 8 tokens share one pass over the weights.
//
// Order: chunk c of 64 k belongs to warp c mod kWarps, which runs its chunks ascending; the warps' sums are added in their order, bias
// last. That depends on K alone, and an accumulator belongs to one token and one n: the bits of a row do not depend on the other rows.
//
// Bytes: the weights once for each kMostTiles * 8 tokens; x from L2 once a panel. Operations: 2 * rows * N * K. Limited by memory up to
// some 64 tokens.
#include "cuda/kernels/activations.cuh"
#include "cuda/kernels/formats.cuh"
#include "cuda/kernels/gate.cuh"
#include "cuda/kernels/matmul_tensor.h"
#include "cuda/kernels/mma.cuh"
#include "cuda/kernels/warp.cuh"

namespace kvasir::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kMostTiles = 8;  // of 8 tokens

// One projection of a launch; its panels are numbered after those of the ones before.
struct Part {
  WeightView weight;
  View bias;
  View y;
  int first_panel;
};

struct Launch {
  Part parts[Matmul::kMostOutputs];
  int count;
  View x;
  int rows;
  Activation activation;
};

// What a lane loads of a chunk.
template <DType type>
struct Raw {
  uint4 quants[type == DType::BF16 ? 4 : type == DType::Q8_0 ? 2 : 1];
  uint32_t high[2];
  uint32_t scales[2];  // of a block of 32: two float16, 2 x (scale, min), or two pairs of int8
  uint32_t supers[2];  // d, dmin of rows g and g + 8; or both d in the first
};

template <class Word>
__device__ inline Word stream_load(const void* place) {
  return __ldcs(static_cast<const Word*>(place));  // read once: it need not stay in L2
}

template <DType type>
__device__ inline Raw<type> load_chunk(const uint8_t* panel, int chunk, int chunks, int lane) {
  Raw<type> raw;
  const uint8_t* at = panel + int64_t(chunk) * chunk_bytes(type);
  constexpr int kLoads = sizeof raw.quants / 16;
  for (int i = 0; i < kLoads; ++i) raw.quants[i] = stream_load<uint4>(at + i * 512 + lane * 16);
  if constexpr (type == DType::Q5_0) raw.high[0] = stream_load<uint32_t>(at + 512 + lane * 4);
  if constexpr (type == DType::Q6_K) {
    const uint2 high = stream_load<uint2>(at + 512 + lane * 8);
    raw.high[0] = high.x;
    raw.high[1] = high.y;
  }
  if constexpr (type != DType::BF16) {
    const uint8_t* scales = at + packed_sizes(type).quants;
    const int g = lane / 4;
    if constexpr (type == DType::Q6_K) {
      const auto* pairs = reinterpret_cast<const uint16_t*>(scales);  // [4 steps][8 g] pairs of int8
      raw.scales[0] = pairs[g] | static_cast<uint32_t>(pairs[8 + g]) << 16;
      raw.scales[1] = pairs[16 + g] | static_cast<uint32_t>(pairs[24 + g]) << 16;
    } else {
      raw.scales[0] = reinterpret_cast<const uint32_t*>(scales)[g];
      raw.scales[1] = reinterpret_cast<const uint32_t*>(scales)[8 + g];
    }
    if constexpr (packed_sizes(type).supers > 0) {
      const uint8_t* supers = panel + int64_t(chunks) * chunk_bytes(type) + chunk / 4 * packed_sizes(type).supers;
      if constexpr (type == DType::Q4_K) {
        const uint2 both = reinterpret_cast<const uint2*>(supers)[g];
        raw.supers[0] = both.x;
        raw.supers[1] = both.y;
      } else {
        raw.supers[0] = reinterpret_cast<const uint32_t*>(supers)[g];
      }
    }
  }
  return raw;
}

__device__ inline uint32_t bf16_sub(uint32_t a, uint32_t b) {
  const __nv_bfloat162 difference = __hsub2(*reinterpret_cast<__nv_bfloat162*>(&a), *reinterpret_cast<__nv_bfloat162*>(&b));
  return *reinterpret_cast<const uint32_t*>(&difference);
}

// 128 + level is a bfloat16 whose low bits are the level; less 128 + offset it is the level less its offset, exactly.
template <int offset>
__device__ inline uint32_t level_pair(uint32_t bits) {
  constexpr uint32_t kMinus = static_cast<uint32_t>(0x4300 + offset) * 0x10001u;
  return bf16_sub(bits | 0x43004300u, kMinus);
}

// Operand A of a step: 16 rows by 16 k.
template <DType type>
__device__ inline void unpack(const Raw<type>& raw, int step, uint32_t (&a)[4]) {
  if constexpr (type == DType::BF16) {
    const uint4 q = raw.quants[step];
    a[0] = q.x, a[1] = q.y, a[2] = q.z, a[3] = q.w;
  } else if constexpr (type == DType::Q8_0) {
    const uint4 both = raw.quants[step / 2];
    const uint32_t words[2] = {step % 2 == 0 ? both.x : both.z, step % 2 == 0 ? both.y : both.w};
    for (int reg = 0; reg < 4; ++reg) {
      // 2^23 + u has u in its low byte.
      const uint32_t word = words[reg / 2], low = __byte_perm(word, 0x4b000000u, 0x7650u + reg % 2 * 2),
                     high = __byte_perm(word, 0x4b000000u, 0x7651u + reg % 2 * 2);
      a[reg] = pack(__nv_bfloat16(), __uint_as_float(low) - 8388736.0f, __uint_as_float(high) - 8388736.0f);
    }
  } else {
    const uint4 q = raw.quants[0];
    const uint32_t word = step == 0 ? q.x : step == 1 ? q.y : step == 2 ? q.z : q.w;
    for (int reg = 0; reg < 4; ++reg) {
      uint32_t bits = word >> 4 * reg & 0x000f000fu;
      if constexpr (type == DType::Q5_0) {
        bits |= (raw.high[0] >> (reg + 4 * step) & 0x00010001u) << 4;
        a[reg] = level_pair<16>(bits);
      } else if constexpr (type == DType::Q6_K) {
        bits |= (raw.high[step / 2] >> (2 * reg + 8 * (step % 2)) & 0x00030003u) << 4;
        a[reg] = level_pair<32>(bits);
      } else if constexpr (type == DType::Q4_K) {
        a[reg] = level_pair<0>(bits);
      } else {
        a[reg] = level_pair<8>(bits);
      }
    }
  }
}

__device__ inline float2 half_pair(uint32_t bits) {
  return __half22float2(*reinterpret_cast<const __half2*>(&bits));
}

// Scales of rows g (x) and g + 8 (y), for a block of 32 (Q6_K: a step).
template <DType type>
__device__ inline float2 scale_of(const Raw<type>& raw, int block) {
  if constexpr (type == DType::Q4_K) {
    const uint32_t s = raw.scales[block];
    return {half_pair(raw.supers[0]).x * static_cast<float>(s & 255), half_pair(raw.supers[1]).x * static_cast<float>(s >> 16 & 255)};
  } else if constexpr (type == DType::Q6_K) {
    const uint32_t s = raw.scales[block / 2] >> block % 2 * 16;
    const float2 d = half_pair(raw.supers[0]);
    return {d.x * static_cast<float>(static_cast<int8_t>(s & 255)), d.y * static_cast<float>(static_cast<int8_t>(s >> 8 & 255))};
  } else {
    return half_pair(raw.scales[block]);
  }
}

template <DType type>
__device__ inline float2 min_of(const Raw<type>& raw, int block) {
  const uint32_t s = raw.scales[block];
  return {half_pair(raw.supers[0]).y * static_cast<float>(s >> 8 & 255), half_pair(raw.supers[1]).y * static_cast<float>(s >> 24)};
}

// A token's 8 k of a block of 32 that this lane has; 0 beyond x.
__device__ inline uint4 load_x(const View& x, int rows, int token, int k, int cols) {
  if (token >= rows || k >= cols) return {};
  return *reinterpret_cast<const uint4*>(static_cast<const __nv_bfloat16*>(x.data) + token * x.stride + k);
}
__device__ inline uint2 load_x_half(const View& x, int rows, int token, int k, int cols) {
  if (token >= rows || k >= cols) return {};
  return *reinterpret_cast<const uint2*>(static_cast<const __nv_bfloat16*>(x.data) + token * x.stride + k);
}

// sums[tile] += W x over one chunk.
template <DType type, int tiles>
__device__ inline void multiply_chunk(const Raw<type>& raw, const Launch& launch, int chunk, int cols, int first_token, int lane,
                                      float (&sums)[tiles][4]) {
  const int g = lane / 4, t = lane % 4;
  constexpr uint32_t kOnes[4] = {0x3f803f80u, 0x3f803f80u, 0x3f803f80u, 0x3f803f80u};
#pragma unroll
  for (int block = 0; block < 2; ++block) {
    uint32_t a[2][4];
    unpack<type>(raw, 2 * block, a[0]);
    unpack<type>(raw, 2 * block + 1, a[1]);
#pragma unroll
    for (int tile = 0; tile < tiles; ++tile) {
      const int token = first_token + tile * 8 + g, k = chunk * kChunk + block * 32;
      uint4 x;
      if constexpr (type == DType::Q6_K) {
        const uint2 first = load_x_half(launch.x, launch.rows, token, k + t * 4, cols),
                    second = load_x_half(launch.x, launch.rows, token, k + 16 + t * 4, cols);
        x = {first.x, first.y, second.x, second.y};
      } else {
        x = load_x(launch.x, launch.rows, token, k + t * 8, cols);
      }
      if constexpr (type == DType::BF16) {
        mma(__nv_bfloat16(), sums[tile], a[0], x.x, x.y);
        mma(__nv_bfloat16(), sums[tile], a[1], x.z, x.w);
      } else if constexpr (type == DType::Q6_K) {
        for (int step = 0; step < 2; ++step) {
          float part[4] = {};
          mma(__nv_bfloat16(), part, a[step], step == 0 ? x.x : x.z, step == 0 ? x.y : x.w);
          const float2 scale = scale_of(raw, 2 * block + step);
          for (int i = 0; i < 4; ++i) sums[tile][i] = fmaf(i < 2 ? scale.x : scale.y, part[i], sums[tile][i]);
        }
      } else {
        float part[4] = {};
        mma(__nv_bfloat16(), part, a[0], x.x, x.y);
        mma(__nv_bfloat16(), part, a[1], x.z, x.w);
        const float2 scale = scale_of(raw, block);
        for (int i = 0; i < 4; ++i) sums[tile][i] = fmaf(i < 2 ? scale.x : scale.y, part[i], sums[tile][i]);
        if constexpr (type == DType::Q4_K) {
          float total[4] = {};  // of x over the block, in every row
          mma(__nv_bfloat16(), total, kOnes, x.x, x.y);
          mma(__nv_bfloat16(), total, kOnes, x.z, x.w);
          const float2 least = min_of(raw, block);
          for (int i = 0; i < 4; ++i) sums[tile][i] = fmaf(i < 2 ? -least.x : -least.y, total[i], sums[tile][i]);
        }
      }
    }
  }
}

// Chunks of a warp under way: 2 to 4 KiB, so that a multiprocessor's warps keep some 64 KiB in flight.
template <DType type>
inline constexpr int kAhead = type == DType::BF16   ? 2
                              : type == DType::Q8_0 ? 3
                                                    : 4;

// A panel's products with up to tiles * 8 tokens, summed over this warp's chunks.
template <DType type, int tiles>
__device__ inline void multiply_panel(const WeightView& weight, int panel, const Launch& launch, int first_token, int warp, int lane,
                                      float (&sums)[tiles][4]) {
  constexpr int ahead = kAhead<type>;
  const int chunks = (weight.cols + kChunk - 1) / kChunk;
  const uint8_t* data = weight.data + panel * weight.stride;
  Raw<type> raw[ahead];
#pragma unroll
  for (int i = 0; i < ahead; ++i) {
    if (warp + i * kWarps < chunks) raw[i] = load_chunk<type>(data, warp + i * kWarps, chunks, lane);
  }
  for (int chunk = warp; chunk < chunks; chunk += ahead * kWarps) {
#pragma unroll
    for (int i = 0; i < ahead; ++i) {
      const int now = chunk + i * kWarps, later = now + ahead * kWarps;
      if (now >= chunks) break;
      multiply_chunk<type, tiles>(raw[i], launch, now, weight.cols, first_token, lane, sums);
      if (later < chunks) raw[i] = load_chunk<type>(data, later, chunks, lane);
    }
  }
}

// The warps' sums of a tile, added in their order: thread i < 128 gets that of row i / 8, token i % 8.
__device__ inline float reduce(float (*shared)[16][8], int i) {
  float sum = shared[0][i / 8][i % 8];
  for (int warp = 1; warp < kWarps; ++warp) sum += shared[warp][i / 8][i % 8];
  return sum;
}

__device__ inline void put_sums(float (*shared)[16][8], int warp, int lane, const float (&sums)[4]) {
  const int g = lane / 4, t = lane % 4;
  shared[warp][g][2 * t] = sums[0];
  shared[warp][g][2 * t + 1] = sums[1];
  shared[warp][g + 8][2 * t] = sums[2];
  shared[warp][g + 8][2 * t + 1] = sums[3];
}

__device__ inline float with_bias(float sum, const View& bias, int n) {
  return bias.data ? sum + static_cast<const float*>(bias.data)[n] : sum;
}

template <DType type, int tiles>
__global__ void __launch_bounds__(kWarps* kWarp) multiply(Launch launch) {
  __shared__ float shared[kWarps][16][8];
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, first_token = blockIdx.y * tiles * 8;
  int part = 0;
  while (part + 1 < launch.count && blockIdx.x >= launch.parts[part + 1].first_panel) ++part;
  const Part& own = launch.parts[part];
  const int panel = blockIdx.x - own.first_panel;
  float sums[tiles][4] = {};
  multiply_panel<type, tiles>(own.weight, panel, launch, first_token, warp, lane, sums);
#pragma unroll
  for (int tile = 0; tile < tiles; ++tile) {
    put_sums(shared, warp, lane, sums[tile]);
    __syncthreads();
    if (threadIdx.x < 128) {
      const int n = panel * kPanelRows + threadIdx.x / 8, token = first_token + tile * 8 + threadIdx.x % 8;
      const float sum = reduce(shared, threadIdx.x);
      if (n < own.weight.rows && token < launch.rows) store(own.y, token, n, with_bias(sum, own.bias, n));
    }
    __syncthreads();
  }
}

// Gate and up of the same panel, and their product.
template <DType type, int tiles>
__global__ void __launch_bounds__(kWarps* kWarp) multiply_gated(Launch launch) {
  __shared__ float shared[2][kWarps][16][8];
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, panel = blockIdx.x, first_token = blockIdx.y * tiles * 8;
  const Part &gate = launch.parts[0], &up = launch.parts[1];
  float gates[tiles][4] = {}, ups[tiles][4] = {};
  multiply_panel<type, tiles>(gate.weight, panel, launch, first_token, warp, lane, gates);
  multiply_panel<type, tiles>(up.weight, panel, launch, first_token, warp, lane, ups);
#pragma unroll
  for (int tile = 0; tile < tiles; ++tile) {
    put_sums(shared[0], warp, lane, gates[tile]);
    put_sums(shared[1], warp, lane, ups[tile]);
    __syncthreads();
    if (threadIdx.x < 128) {
      const int n = panel * kPanelRows + threadIdx.x / 8, token = first_token + tile * 8 + threadIdx.x % 8;
      if (n < gate.weight.rows && token < launch.rows) {
        const float g = with_bias(reduce(shared[0], threadIdx.x), gate.bias, n), u = with_bias(reduce(shared[1], threadIdx.x), up.bias, n);
        store(gate.y, token, n, activate(launch.activation, g) * u);
      }
    }
    __syncthreads();
  }
}

template <class Kernel>
void with_tiles(int rows, const Kernel& kernel) {
  if (rows <= 8) return kernel(std::integral_constant<int, 1>());
  if (rows <= 16) return kernel(std::integral_constant<int, 2>());
  if (rows <= 32) return kernel(std::integral_constant<int, 4>());
  kernel(std::integral_constant<int, kMostTiles>());
}

int panels_of(const WeightView& weight) {
  return (weight.rows + kPanelRows - 1) / kPanelRows;
}

template <class Function>
void with_packed_type(DType type, const Function& f) {
  with_type(type, [&](auto constant) {
    if constexpr (is_packed(constant)) f(constant);
  });
}

void launch_gated(const Matmul& op, Launch& launch, cudaStream_t stream) {
  for (int i = 0; i < 2; ++i) launch.parts[i] = {view_of(*op.outputs[i].weight), op.outputs[i].bias, op.outputs[i].y, 0};
  launch.count = 2;
  launch.activation = *op.gate;
  with_tiles(op.rows, [&](auto tiles) {
    const dim3 grid(panels_of(launch.parts[0].weight), (op.rows + tiles * 8 - 1) / (tiles * 8));
    with_packed_type(launch.parts[0].weight.type,
                     [&](auto type) { multiply_gated<type, tiles><<<grid, kWarps * kWarp, 0, stream>>>(launch); });
  });
  check_launch("matmul on tensor cores");
}

// The projections of one type, side by side.
void launch_type(const Matmul& op, DType type, Launch& launch, cudaStream_t stream) {
  launch.count = 0;
  int panels = 0;
  for (const Projection& out : op.outputs) {
    if (out.weight == nullptr || out.weight->type != type) continue;
    launch.parts[launch.count++] = {view_of(*out.weight), out.bias, out.y, panels};
    panels += panels_of(view_of(*out.weight));
  }
  with_tiles(op.rows, [&](auto tiles) {
    const dim3 grid(panels, (op.rows + tiles * 8 - 1) / (tiles * 8));
    with_packed_type(type, [&](auto constant) { multiply<constant, tiles><<<grid, kWarps * kWarp, 0, stream>>>(launch); });
  });
  check_launch("matmul on tensor cores");
}

}  // namespace

bool can_run_tensor(const Matmul& op) {
  if (op.x.type != DType::BF16 || op.x.stride % 8 != 0 || op.outputs[0].weight->cols % 8 != 0) return false;
  for (const Projection& out : op.outputs) {
    if (out.weight != nullptr && (!is_packed(out.weight->type) || out.weight->compute == Compute::F32)) return false;
  }
  return !op.gate || op.outputs[0].weight->type == op.outputs[1].weight->type;
}

void run_tensor(const Matmul& op, cudaStream_t stream) {
  Launch launch{.parts = {}, .count = 0, .x = op.x, .rows = op.rows, .activation = Activation::Silu};
  if (op.gate) return launch_gated(op, launch, stream);
  bool done[std::size(kDTypes)] = {};
  for (const Projection& out : op.outputs) {
    if (out.weight == nullptr || std::exchange(done[static_cast<int>(out.weight->type)], true)) continue;
    launch_type(op, out.weight->type, launch, stream);
  }
}

}  // namespace kvasir::cuda
