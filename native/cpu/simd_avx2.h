#pragma once
// 16 lanes as two registers. See simd.h.
#include <immintrin.h>

namespace kvasir::cpu::KVASIR_ISA {

struct f32x16 {
  __m256 lo, hi;
};
struct i32x16 {
  __m256i lo, hi;
};
struct u8x64 {
  __m256i lo, hi;
};

KVASIR_INLINE f32x16 zeros() {
  return {_mm256_setzero_ps(), _mm256_setzero_ps()};
}
KVASIR_INLINE f32x16 splat(float x) {
  return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
KVASIR_INLINE f32x16 load(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
KVASIR_INLINE void store(float* p, f32x16 x) {
  _mm256_storeu_ps(p, x.lo);
  _mm256_storeu_ps(p + 8, x.hi);
}
// All bits set in lanes i < count.
KVASIR_INLINE i32x16 first_lanes(int count) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return {_mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane), _mm256_cmpgt_epi32(_mm256_set1_epi32(count - 8), lane)};
}
KVASIR_INLINE f32x16 load_part(const float* p, int count) {
  const i32x16 mask = first_lanes(count);
  return {_mm256_maskload_ps(p, mask.lo), _mm256_maskload_ps(p + 8, mask.hi)};
}
KVASIR_INLINE void store_part(float* p, f32x16 x, int count) {
  const i32x16 mask = first_lanes(count);
  _mm256_maskstore_ps(p, mask.lo, x.lo);
  _mm256_maskstore_ps(p + 8, mask.hi, x.hi);
}

KVASIR_INLINE f32x16 operator+(f32x16 a, f32x16 b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
KVASIR_INLINE f32x16 operator-(f32x16 a, f32x16 b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
KVASIR_INLINE f32x16 operator*(f32x16 a, f32x16 b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
KVASIR_INLINE f32x16 operator/(f32x16 a, f32x16 b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
KVASIR_INLINE f32x16 fma(f32x16 a, f32x16 b, f32x16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
KVASIR_INLINE f32x16 min(f32x16 a, f32x16 b) {
  return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}
KVASIR_INLINE f32x16 max(f32x16 a, f32x16 b) {
  return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
KVASIR_INLINE f32x16 round_even(f32x16 x) {
  constexpr int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(x.lo, nearest), _mm256_round_ps(x.hi, nearest)};
}

KVASIR_INLINE i32x16 splat_i32(int32_t x) {
  return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
}
KVASIR_INLINE i32x16 operator+(i32x16 a, i32x16 b) {
  return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
KVASIR_INLINE i32x16 operator-(i32x16 a, i32x16 b) {
  return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)};
}
KVASIR_INLINE i32x16 operator&(i32x16 a, i32x16 b) {
  return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
}
KVASIR_INLINE i32x16 max(i32x16 a, i32x16 b) {
  return {_mm256_max_epi32(a.lo, b.lo), _mm256_max_epi32(a.hi, b.hi)};
}
template <int count>
KVASIR_INLINE i32x16 shift_left_i32(i32x16 x) {
  return {_mm256_slli_epi32(x.lo, count), _mm256_slli_epi32(x.hi, count)};
}
template <int count>
KVASIR_INLINE i32x16 shift_right(i32x16 x) {
  return {_mm256_srai_epi32(x.lo, count), _mm256_srai_epi32(x.hi, count)};
}
KVASIR_INLINE f32x16 to_f32(i32x16 x) {
  return {_mm256_cvtepi32_ps(x.lo), _mm256_cvtepi32_ps(x.hi)};
}
KVASIR_INLINE i32x16 to_i32(f32x16 x) {
  return {_mm256_cvtps_epi32(x.lo), _mm256_cvtps_epi32(x.hi)};
}
KVASIR_INLINE i32x16 bits(f32x16 x) {
  return {_mm256_castps_si256(x.lo), _mm256_castps_si256(x.hi)};
}
KVASIR_INLINE f32x16 from_bits(i32x16 x) {
  return {_mm256_castsi256_ps(x.lo), _mm256_castsi256_ps(x.hi)};
}
KVASIR_INLINE f32x16 power_of_two(i32x16 n) {
  const i32x16 biased = n + splat_i32(127);
  return from_bits({_mm256_slli_epi32(biased.lo, 23), _mm256_slli_epi32(biased.hi, 23)});
}
// Lane i is x where first <= i < last, else y.
KVASIR_INLINE f32x16 select_range(int first, int last, f32x16 x, f32x16 y) {
  const i32x16 before = first_lanes(first), until = first_lanes(last);
  const f32x16 mask = from_bits({_mm256_andnot_si256(before.lo, until.lo), _mm256_andnot_si256(before.hi, until.hi)});
  return {_mm256_blendv_ps(y.lo, x.lo, mask.lo), _mm256_blendv_ps(y.hi, x.hi, mask.hi)};
}

KVASIR_INLINE float sum(f32x16 x) {
  __m256 a = _mm256_add_ps(x.lo, x.hi);
  __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  b = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
KVASIR_INLINE float largest(f32x16 x) {
  __m256 a = _mm256_max_ps(x.lo, x.hi);
  __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  b = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}
KVASIR_INLINE int32_t largest(i32x16 x) {
  __m256i a = _mm256_max_epi32(x.lo, x.hi);
  __m128i b = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  b = _mm_max_epi32(b, _mm_shuffle_epi32(b, 0x4e));
  return _mm_cvtsi128_si32(_mm_max_epi32(b, _mm_shuffle_epi32(b, 0xb1)));
}
KVASIR_INLINE int32_t sum(i32x16 x) {
  __m256i a = _mm256_add_epi32(x.lo, x.hi);
  __m128i b = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  b = _mm_add_epi32(b, _mm_shuffle_epi32(b, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(b, _mm_shuffle_epi32(b, 0xb1)));
}

KVASIR_INLINE __m128i load_half(const void* p, int index) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p) + index);
}
KVASIR_INLINE f32x16 load_f16(const void* p) {
  return {_mm256_cvtph_ps(load_half(p, 0)), _mm256_cvtph_ps(load_half(p, 1))};
}
KVASIR_INLINE f32x16 load_bf16(const void* p) {
  return from_bits(
      {_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_half(p, 0)), 16), _mm256_slli_epi32(_mm256_cvtepu16_epi32(load_half(p, 1)), 16)});
}
KVASIR_INLINE void store_f16(void* p, f32x16 x) {
  constexpr int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm256_cvtps_ph(x.lo, nearest));
  _mm_storeu_si128(static_cast<__m128i*>(p) + 1, _mm256_cvtps_ph(x.hi, nearest));
}
// The upper halves, rounded to nearest even; NaN stays NaN.
KVASIR_INLINE __m256i round_to_bf16(__m256 x) {
  const __m256i wide = _mm256_castps_si256(x), odd = _mm256_and_si256(_mm256_srli_epi32(wide, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(wide, _mm256_set1_epi32(0x7fff)), odd), 16);
  return _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
}
KVASIR_INLINE f32x16 bf16_rounded(f32x16 x) {
  return from_bits({_mm256_slli_epi32(round_to_bf16(x.lo), 16), _mm256_slli_epi32(round_to_bf16(x.hi), 16)});
}
KVASIR_INLINE void store_bf16(void* p, f32x16 x) {
  const __m256i packed = _mm256_packus_epi32(round_to_bf16(x.lo), round_to_bf16(x.hi));  // in the order 0-3, 8-11, 4-7, 12-15
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
}

KVASIR_INLINE __m128i load_eight(const void* p) {
  return _mm_loadl_epi64(static_cast<const __m128i*>(p));
}
KVASIR_INLINE i32x16 load_u8(const uint8_t* p) {
  return {_mm256_cvtepu8_epi32(load_eight(p)), _mm256_cvtepu8_epi32(load_eight(p + 8))};
}
// As float16, whose bias is 8 larger.
KVASIR_INLINE __m256 eight_e4m3(const uint8_t* p) {
  const __m128i ones = _mm_set1_epi16(0x3f80);
  const __m128i halves = _mm_and_si128(_mm_slli_epi16(_mm_cvtepi8_epi16(load_eight(p)), 7), _mm_set1_epi16(static_cast<short>(0xbf80)));
  const __m128i nan = _mm_and_si128(_mm_cmpeq_epi16(_mm_and_si128(halves, ones), ones), _mm_set1_epi16(0x7e00));
  return _mm256_mul_ps(_mm256_cvtph_ps(_mm_or_si128(halves, nan)), _mm256_set1_ps(256));
}
KVASIR_INLINE f32x16 load_e4m3(const uint8_t* p) {
  return {eight_e4m3(p), eight_e4m3(p + 8)};
}
KVASIR_INLINE i32x16 load_i8(const int8_t* p) {
  return {_mm256_cvtepi8_epi32(load_eight(p)), _mm256_cvtepi8_epi32(load_eight(p + 8))};
}
KVASIR_INLINE i32x16 load_u16(const uint8_t* p) {
  return {_mm256_cvtepu16_epi32(load_half(p, 0)), _mm256_cvtepu16_epi32(load_half(p, 1))};
}
KVASIR_INLINE i32x16 load_i32(const uint8_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p) + 1)};
}
KVASIR_INLINE i32x16 shift_right_by(i32x16 x, int count) {
  const __m128i by = _mm_cvtsi32_si128(count);
  return {_mm256_sra_epi32(x.lo, by), _mm256_sra_epi32(x.hi, by)};
}
KVASIR_INLINE void store_i8(int8_t* p, i32x16 x) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.lo, x.hi), 0xd8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}

KVASIR_INLINE u8x64 load_bytes(const uint8_t* p) {
  return {_mm256_load_si256(reinterpret_cast<const __m256i*>(p)), _mm256_load_si256(reinterpret_cast<const __m256i*>(p) + 1)};
}
KVASIR_INLINE u8x64 splat_bytes(uint8_t x) {
  return {_mm256_set1_epi8(static_cast<char>(x)), _mm256_set1_epi8(static_cast<char>(x))};
}
KVASIR_INLINE u8x64 operator&(u8x64 a, u8x64 b) {
  return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
}
KVASIR_INLINE u8x64 operator|(u8x64 a, u8x64 b) {
  return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)};
}
// Bits move between the two bytes of a pair: mask afterwards. A negative count shifts right.
template <int count>
KVASIR_INLINE u8x64 shift_left(u8x64 x) {
  if constexpr (count >= 0) return {_mm256_slli_epi16(x.lo, count), _mm256_slli_epi16(x.hi, count)};
  return {_mm256_srli_epi16(x.lo, -count), _mm256_srli_epi16(x.hi, -count)};
}
KVASIR_INLINE u8x64 lookup(const uint8_t* table, u8x64 u) {
  const __m256i both = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(table)));
  return {_mm256_shuffle_epi8(both, u.lo), _mm256_shuffle_epi8(both, u.hi)};
}
// Byte `index` of each lane.
template <int index>
KVASIR_INLINE i32x16 byte_of_lane(u8x64 x) {
  const __m256i low = _mm256_set1_epi32(255);
  return {_mm256_and_si256(_mm256_srli_epi32(x.lo, 8 * index), low), _mm256_and_si256(_mm256_srli_epi32(x.hi, 8 * index), low)};
}

// Pairs of products fit in 16 bits: 2 * 127 * 127, and 2 * 128 * 127 where the level's sign moves to x.
inline constexpr int kDotBias = 0;
KVASIR_INLINE __m256i dot_unsigned(__m256i acc, __m256i u, __m256i x) {
  return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(u, x), _mm256_set1_epi16(1)));
}
KVASIR_INLINE __m256i splat_four(const int8_t* x) {
  int32_t four;
  std::memcpy(&four, x, 4);
  return _mm256_set1_epi32(four);
}
KVASIR_INLINE i32x16 dot(i32x16 acc, u8x64 u, const int8_t* x) {
  const __m256i four = splat_four(x);
  return {dot_unsigned(acc.lo, u.lo, four), dot_unsigned(acc.hi, u.hi, four)};
}
KVASIR_INLINE i32x16 dot_biased(i32x16 acc, u8x64 u, const int8_t* x) {
  const __m256i four = splat_four(x), flip = _mm256_set1_epi8(static_cast<char>(0x80));
  const __m256i lo = _mm256_xor_si256(u.lo, flip), hi = _mm256_xor_si256(u.hi, flip);
  return {dot_unsigned(acc.lo, _mm256_abs_epi8(lo), _mm256_sign_epi8(four, lo)),
          dot_unsigned(acc.hi, _mm256_abs_epi8(hi), _mm256_sign_epi8(four, hi))};
}

inline constexpr bool kHasBf16Dot = false;
KVASIR_INLINE f32x16 dot_bf16(f32x16 acc, i32x16, int32_t) {
  return acc;
}

inline constexpr int kTileRows = 4;

}  // namespace kvasir::cpu::KVASIR_ISA
