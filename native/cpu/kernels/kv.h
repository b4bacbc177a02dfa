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
  return f(KvBF16());
}

}  // namespace kvasir::cpu::KVASIR_ISA
