#pragma once
// Element types of weights and caches, named as in lib/model/spec.ts.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace kvasir {

enum class DType : uint8_t { F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, MXFP4, F8_E4M3 };

struct DTypeInfo {
  const char* name;
  int block;  // elements of one block; a matrix row is a whole number of blocks
  int bytes;  // bytes of one block in the file; F8_E4M3: of what the loader makes of two tensors (quant/blocks.h)
};

inline constexpr DTypeInfo kDTypes[] = {
    {"F32", 1, 4},      {"F16", 1, 2},      {"BF16", 1, 2},       {"Q8_0", 32, 34},   {"Q4_0", 32, 18},   {"Q4_1", 32, 20},
    {"Q5_0", 32, 22},   {"Q5_1", 32, 24},   {"Q2_K", 256, 84},    {"Q3_K", 256, 110}, {"Q4_K", 256, 144}, {"Q5_K", 256, 176},
    {"Q6_K", 256, 210}, {"IQ4_NL", 32, 18}, {"IQ4_XS", 256, 136}, {"MXFP4", 32, 17},  {"F8_E4M3", 64, 68}};

inline constexpr const DTypeInfo& info(DType type) {
  return kDTypes[static_cast<int>(type)];
}
inline constexpr bool is_quantized(DType type) {
  return info(type).block > 1;
}
// What a cache's elements may be.
inline constexpr DType kCacheTypes[] = {DType::F32, DType::F16, DType::BF16, DType::F8_E4M3};
// Bytes of an element in a cache, which has F8_E4M3 without scales.
inline constexpr int element_bytes(DType type) {
  return type == DType::F8_E4M3 ? 1 : info(type).bytes;
}
// Whether elements are levels, integer multiples of a scale, which compute int8 multiplies as such.
inline constexpr bool has_levels(DType type) {
  return is_quantized(type) && type != DType::F8_E4M3;
}

// Calls f with the type as a constant (std::integral_constant).
template <class Function>
auto with_type(DType type, const Function& f) {
  switch (type) {
    case DType::F32:
      return f(std::integral_constant<DType, DType::F32>());
    case DType::F16:
      return f(std::integral_constant<DType, DType::F16>());
    case DType::BF16:
      return f(std::integral_constant<DType, DType::BF16>());
    case DType::Q8_0:
      return f(std::integral_constant<DType, DType::Q8_0>());
    case DType::Q4_0:
      return f(std::integral_constant<DType, DType::Q4_0>());
    case DType::Q4_1:
      return f(std::integral_constant<DType, DType::Q4_1>());
    case DType::Q5_0:
      return f(std::integral_constant<DType, DType::Q5_0>());
    case DType::Q5_1:
      return f(std::integral_constant<DType, DType::Q5_1>());
    case DType::Q2_K:
      return f(std::integral_constant<DType, DType::Q2_K>());
    case DType::Q3_K:
      return f(std::integral_constant<DType, DType::Q3_K>());
    case DType::Q4_K:
      return f(std::integral_constant<DType, DType::Q4_K>());
    case DType::Q5_K:
      return f(std::integral_constant<DType, DType::Q5_K>());
    case DType::Q6_K:
      return f(std::integral_constant<DType, DType::Q6_K>());
    case DType::IQ4_NL:
      return f(std::integral_constant<DType, DType::IQ4_NL>());
    case DType::IQ4_XS:
      return f(std::integral_constant<DType, DType::IQ4_XS>());
    case DType::MXFP4:
      return f(std::integral_constant<DType, DType::MXFP4>());
    default:
      return f(std::integral_constant<DType, DType::F8_E4M3>());
  }
}

// bfloat16 is the upper half of a float32.
inline float bf16_to_f32(uint16_t bits) {
  uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}

// IEEE 754 binary16, in integer arithmetic so that every instruction set gives the same bits.
inline float f16_to_f32(uint16_t half) {
  uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16, exponent = (half >> 10) & 31, mantissa = half & 0x3ffu, bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000u | (mantissa << 13);
  } else if (exponent != 0) {
    bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
  } else {  // zero or subnormal: mantissa * 2^-24 is exact in float32
    float value = static_cast<float>(mantissa) * 0x1p-24f;
    std::memcpy(&bits, &value, 4);
    bits |= sign;
  }
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
inline uint16_t f32_to_f16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // rounds to 2^16 or more
  if (magnitude < 0x38800000u) {                                               // subnormal: adding 0.5 aligns the mantissa and rounds it
    float aligned;
    std::memcpy(&aligned, &magnitude, 4);
    aligned += 0.5f;
    uint32_t shifted;
    std::memcpy(&shifted, &aligned, 4);
    return static_cast<uint16_t>(sign | (shifted - 0x3f000000u));
  }
  uint32_t rounded = magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1);
  return static_cast<uint16_t>(sign | (rounded >> 13));
}

}  // namespace kvasir
