#pragma once
// Loops that the element-wise ops share.
#include "cpu/simd.h"
#include "cpu/threads.h"

namespace kvasir::cpu::KVASIR_ISA {

// Elements below which waking others costs more than it brings, and elements of a task. On two EPYC cores little depends on them
// (bench:compare -- HEAD): decode of tales at batch 8 with a limit of 1 Mi has 0.99 of the speed, prefill of 135M with tasks of 64 Ki 1.02.
inline constexpr int64_t kSerialElements = 32 << 10, kTaskElements = 8 << 10;

// Calls vector(i, lanes) for each vector of 16 elements of [0, count); lanes is 16 but for the last. Whole vectors have it as a constant.
template <class Vector>
KVASIR_INLINE void for_vectors(int64_t first, int64_t count, const Vector& vector) {
  int64_t i = first;
  for (; i + kLanes <= count; i += kLanes) vector(i, kLanes);
  if (i < count) vector(i, static_cast<int>(count - i));
}

KVASIR_INLINE f32x16 load_lanes(const float* p, int lanes) {
  return lanes == kLanes ? load(p) : load_part(p, lanes);
}
KVASIR_INLINE void store_lanes(float* p, f32x16 x, int lanes) {
  lanes == kLanes ? store(p, x) : store_part(p, x, lanes);
}

// `lanes` bfloat16 numbers.
KVASIR_INLINE void store_bf16_lanes(void* p, f32x16 x, int lanes) {
  if (lanes == kLanes) return store_bf16(p, x);
  alignas(32) uint16_t part[kLanes];
  store_bf16(part, x);
  std::memcpy(p, part, static_cast<size_t>(lanes) * sizeof(uint16_t));
}

// x with 0 in all lanes but the first.
KVASIR_INLINE f32x16 first_lanes(f32x16 x, int lanes) {
  return lanes == kLanes ? x : select_range(0, lanes, x, zeros());
}

// Calls item(i) for each of `count` items of `elements` each, on all threads if that pays.
template <class Item>
void for_items(Threads& threads, int64_t count, int64_t elements, const Item& item) {
  const int64_t grain = most<int64_t>(1, kTaskElements / most<int64_t>(1, elements));
  if (count * elements < kSerialElements || count <= grain) {
    for (int64_t i = 0; i < count; ++i) item(i);
    return;
  }
  threads.parallel((count + grain - 1) / grain, [&](int64_t task, int) {
    for (int64_t i = task * grain; i < least(count, (task + 1) * grain); ++i) item(i);
  });
}

}  // namespace kvasir::cpu::KVASIR_ISA
