#pragma once
// 16 lanes as one register. See simd.h.
// GCC 12 warns of its own _mm512_undefined_*() (bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

namespace kvasir::cpu::KVASIR_ISA {

struct f32x16 {
  __m512 v;
};
struct i32x16 {
  __m512i v;
};
struct u8x64 {
  __m512i v;
};

KVASIR_INLINE __mmask16 first_lanes(int count) {
  return static_cast<__mmask16>((1u << count) - 1);
}

KVASIR_INLINE f32x16 zeros() {
  return {_mm512_setzero_ps()};
}
KVASIR_INLINE f32x16 splat(float x) {
  return {_mm512_set1_ps(x)};
}
KVASIR_INLINE f32x16 load(const float* p) {
  return {_mm512_loadu_ps(p)};
}
KVASIR_INLINE f32x16 load_part(const float* p, int count) {
  return {_mm512_maskz_loadu_ps(first_lanes(count), p)};
}
KVASIR_INLINE void store(float* p, f32x16 x) {
  _mm512_storeu_ps(p, x.v);
}
KVASIR_INLINE void store_part(float* p, f32x16 x, int count) {
  _mm512_mask_storeu_ps(p, first_lanes(count), x.v);
}

KVASIR_INLINE f32x16 operator+(f32x16 a, f32x16 b) {
  return {_mm512_add_ps(a.v, b.v)};
}
KVASIR_INLINE f32x16 operator-(f32x16 a, f32x16 b) {
  return {_mm512_sub_ps(a.v, b.v)};
}
KVASIR_INLINE f32x16 operator*(f32x16 a, f32x16 b) {
  return {_mm512_mul_ps(a.v, b.v)};
}
KVASIR_INLINE f32x16 operator/(f32x16 a, f32x16 b) {
  return {_mm512_div_ps(a.v, b.v)};
}
KVASIR_INLINE f32x16 fma(f32x16 a, f32x16 b, f32x16 c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
KVASIR_INLINE f32x16 min(f32x16 a, f32x16 b) {
  return {_mm512_min_ps(a.v, b.v)};
}
KVASIR_INLINE f32x16 max(f32x16 a, f32x16 b) {
  return {_mm512_max_ps(a.v, b.v)};
}
KVASIR_INLINE f32x16 round_even(f32x16 x) {
  return {_mm512_roundscale_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

KVASIR_INLINE i32x16 splat_i32(int32_t x) {
  return {_mm512_set1_epi32(x)};
}
KVASIR_INLINE i32x16 operator+(i32x16 a, i32x16 b) {
  return {_mm512_add_epi32(a.v, b.v)};
}
KVASIR_INLINE i32x16 operator-(i32x16 a, i32x16 b) {
  return {_mm512_sub_epi32(a.v, b.v)};
}
KVASIR_INLINE i32x16 operator&(i32x16 a, i32x16 b) {
  return {_mm512_and_si512(a.v, b.v)};
}
KVASIR_INLINE i32x16 max(i32x16 a, i32x16 b) {
  return {_mm512_max_epi32(a.v, b.v)};
}
template <int count>
KVASIR_INLINE i32x16 shift_left_i32(i32x16 x) {
  return {_mm512_slli_epi32(x.v, count)};
}
template <int count>
KVASIR_INLINE i32x16 shift_right(i32x16 x) {
  return {_mm512_srai_epi32(x.v, count)};
}
KVASIR_INLINE f32x16 to_f32(i32x16 x) {
  return {_mm512_cvtepi32_ps(x.v)};
}
KVASIR_INLINE i32x16 to_i32(f32x16 x) {
  return {_mm512_cvtps_epi32(x.v)};
}
KVASIR_INLINE i32x16 bits(f32x16 x) {
  return {_mm512_castps_si512(x.v)};
}
KVASIR_INLINE f32x16 from_bits(i32x16 x) {
  return {_mm512_castsi512_ps(x.v)};
}
KVASIR_INLINE f32x16 power_of_two(i32x16 n) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(n.v, _mm512_set1_epi32(127)), 23))};
}
// Lane i is x where first <= i < last, else y.
KVASIR_INLINE f32x16 select_range(int first, int last, f32x16 x, f32x16 y) {
  return {_mm512_mask_blend_ps(static_cast<__mmask16>(first_lanes(last) & ~first_lanes(first)), y.v, x.v)};
}

KVASIR_INLINE float sum(f32x16 x) {
  __m256 a = _mm256_add_ps(_mm512_castps512_ps256(x.v), _mm512_extractf32x8_ps(x.v, 1));
  __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  b = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
KVASIR_INLINE float largest(f32x16 x) {
  return _mm512_reduce_max_ps(x.v);
}
KVASIR_INLINE int32_t largest(i32x16 x) {
  return _mm512_reduce_max_epi32(x.v);
}
KVASIR_INLINE int32_t sum(i32x16 x) {
  return _mm512_reduce_add_epi32(x.v);
}

KVASIR_INLINE f32x16 load_f16(const void* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
KVASIR_INLINE f32x16 load_bf16(const void* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p))), 16))};
}
// As float16, whose bias is 8 larger.
KVASIR_INLINE f32x16 load_e4m3(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), ones = _mm_set1_epi8(0x7f);
  const __m256i halves = _mm256_and_si256(_mm256_slli_epi16(_mm256_cvtepi8_epi16(bytes), 7), _mm256_set1_epi16(static_cast<short>(0xbf80)));
  const __mmask16 numbers = _mm_cmpneq_epi8_mask(_mm_and_si128(bytes, ones), ones);
  return {_mm512_mask_mul_ps(_mm512_set1_ps(__builtin_nanf("")), numbers, _mm512_cvtph_ps(halves), _mm512_set1_ps(256))};
}
KVASIR_INLINE void store_f16(void* p, f32x16 x) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtps_ph(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
// The upper halves, rounded to nearest even; NaN stays NaN.
KVASIR_INLINE i32x16 round_to_bf16(f32x16 x) {
  const __m512i wide = _mm512_castps_si512(x.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(wide, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(wide, _mm512_set1_epi32(0x7fff)), odd), 16);
  const __mmask16 nan = _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q);
  return {_mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc0))};
}
KVASIR_INLINE f32x16 bf16_rounded(f32x16 x) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(round_to_bf16(x).v, 16))};
}
KVASIR_INLINE void store_bf16(void* p, f32x16 x) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtepi32_epi16(round_to_bf16(x).v));
}

KVASIR_INLINE i32x16 load_u8(const uint8_t* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
KVASIR_INLINE i32x16 load_i8(const int8_t* p) {
  return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
KVASIR_INLINE i32x16 load_u16(const uint8_t* p) {
  return {_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
KVASIR_INLINE i32x16 load_i32(const uint8_t* p) {
  return {_mm512_loadu_si512(p)};
}
KVASIR_INLINE i32x16 shift_right_by(i32x16 x, int count) {
  return {_mm512_sra_epi32(x.v, _mm_cvtsi32_si128(count))};
}
KVASIR_INLINE void store_i8(int8_t* p, i32x16 x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(x.v));
}

KVASIR_INLINE u8x64 load_bytes(const uint8_t* p) {
  return {_mm512_load_si512(p)};
}
KVASIR_INLINE u8x64 splat_bytes(uint8_t x) {
  return {_mm512_set1_epi8(static_cast<char>(x))};
}
KVASIR_INLINE void store_bytes(void* p, u8x64 x) {
  _mm512_store_si512(p, x.v);
}
KVASIR_INLINE u8x64 operator-(u8x64 a, u8x64 b) {
  return {_mm512_sub_epi8(a.v, b.v)};
}
KVASIR_INLINE u8x64 operator&(u8x64 a, u8x64 b) {
  return {_mm512_and_si512(a.v, b.v)};
}
KVASIR_INLINE u8x64 operator|(u8x64 a, u8x64 b) {
  return {_mm512_or_si512(a.v, b.v)};
}
// Bits move between the two bytes of a pair: mask afterwards. A negative count shifts right.
template <int count>
KVASIR_INLINE u8x64 shift_left(u8x64 x) {
  if constexpr (count >= 0) return {_mm512_slli_epi16(x.v, count)};
  return {_mm512_srli_epi16(x.v, -count)};
}
KVASIR_INLINE u8x64 lookup(const uint8_t* table, u8x64 u) {
  return {_mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(table))), u.v)};
}
// Byte `index` of each lane.
template <int index>
KVASIR_INLINE i32x16 byte_of_lane(u8x64 x) {
  return {_mm512_and_si512(_mm512_srli_epi32(x.v, 8 * index), _mm512_set1_epi32(255))};
}

inline constexpr int kDotBias = 128;
KVASIR_INLINE i32x16 dot(i32x16 acc, u8x64 u, const int8_t* x) {
  int32_t four;
  std::memcpy(&four, x, 4);
  return {_mm512_dpbusd_epi32(acc.v, u.v, _mm512_set1_epi32(four))};
}
KVASIR_INLINE i32x16 dot_biased(i32x16 acc, u8x64 u, const int8_t* x) {
  return dot(acc, u, x);
}

#if defined(__AVX512BF16__)
inline constexpr bool kHasBf16Dot = true;
KVASIR_INLINE f32x16 dot_bf16(f32x16 acc, i32x16 pairs, int32_t x) {
  return {_mm512_dpbf16_ps(acc.v, reinterpret_cast<__m512bh>(pairs.v), reinterpret_cast<__m512bh>(_mm512_set1_epi32(x)))};
}
#else
inline constexpr bool kHasBf16Dot = false;
KVASIR_INLINE f32x16 dot_bf16(f32x16 acc, i32x16, int32_t) {
  return acc;
}
#endif

inline constexpr int kTileRows = 8;  // rows of a register tile: 8 sums in int32, 8 in float32, levels

}  // namespace kvasir::cpu::KVASIR_ISA
