#pragma once
// The element types of the cache.
#include "cpu/simd.h"
#include "ops/kv_cache.h"
#include "ops/step.h"

namespace kvasir::cpu::KVASIR_ISA {

struct KvF32 {
  using Element = float;
  KVASIR_INLINE static f32x16 load16(const Element* p) { return load(p); }
  KVASIR_INLINE static void store16(Element* p, f32x16 x) { store(p, x); }
};
struct KvF16 {
  using Element = uint16_t;
  KVASIR_INLINE static f32x16 load16(const Element* p) { return load_f16(p); }
  KVASIR_INLINE static void store16(Element* p, f32x16 x) { store_f16(p, x); }
};
struct KvBF16 {
  using Element = uint16_t;
  KVASIR_INLINE static f32x16 load16(const Element* p) { return load_bf16(p); }
  KVASIR_INLINE static void store16(Element* p, f32x16 x) { store_bf16(p, x); }
};

// Rounded to nearest even, in the lower byte, sign extended; what is beyond 448 becomes 448. A sum with 2^20 times x's own power of two (2^-6
// at least: subnormal numbers share one) has no bits but the first three below it, and the difference is exact. As the upper bits of a float32
// numbers of E4M3 are 2^120 times too small.
KVASIR_INLINE i32x16 to_e4m3(f32x16 x) {
  const f32x16 size = min(splat(448.0f), from_bits(bits(x) & splat_i32(0x7fffffff)));
  const f32x16 power = from_bits(bits(max(splat(0x1p-6f), size)) & splat_i32(0x7f800000)) * splat(0x1p20f);
  const f32x16 rounded = (size + power) - power;
  const i32x16 magnitude = shift_right<20>(bits(rounded * splat(0x1p-120f)));
  const i32x16 at_most = splat_i32(127) - max(splat_i32(127) - magnitude, splat_i32(0));  // NaN has larger bits
  return at_most + (shift_right<31>(bits(x)) & splat_i32(-128));
}

struct KvFP8 {
  using Element = uint8_t;
  KVASIR_INLINE static f32x16 load16(const Element* p) { return load_e4m3(p); }
  KVASIR_INLINE static void store16(Element* p, f32x16 x) { store_i8(reinterpret_cast<int8_t*>(p), to_e4m3(x)); }
};

// The page of a row's position.
KVASIR_INLINE int64_t page_of(const PageTables& tables, int row, int64_t position, int64_t page_size) {
  return tables.pages[tables.indptr[row] + position / page_size - tables.first[row]];
}

// The first `lanes` elements of 16; the others are 0.
template <class E>
KVASIR_INLINE f32x16 load_elements(const typename E::Element* p, int lanes) {
  if (lanes == kLanes) return E::load16(p);
  typename E::Element part[kLanes] = {};
  std::memcpy(part, p, lanes * sizeof part[0]);
  return E::load16(part);
}

template <class Function>
KVASIR_INLINE auto with_element(DType type, const Function& f) {
  if (type == DType::F32) return f(KvF32());
  if (type == DType::F16) return f(KvF16());
  if (type == DType::BF16) return f(KvBF16());
  return f(KvFP8());
}

}  // namespace kvasir::cpu::KVASIR_ISA
