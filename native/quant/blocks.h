#pragma once
// The blocks of GGUF files, byte for byte as ggml's quantizers write them (its block_q4_0 and so on): what both back ends read, once, to
// repack. MXFP4 is that of the OCP Microscaling Formats specification 1.0: E2M1 elements, one E8M0 scale for each 32.
// F8_E4M3 is of Hugging Face files, which have elements and scales in two tensors: the loader (model/weights.cc) makes blocks of them. A
// scale there is of 128 columns or of whole rows; blocks of 64 are a chunk of the GPU's layout, divide the rows of all usual sizes, and
// take 1.06 bytes a weight as Q8_0 does. Elements are E4M3 of the OCP 8-bit Floating Point Specification 1.0, the loader refuses NaN.
//
// A block starts with (f16: IEEE 754 binary16; elements beyond a count of bytes: two or more of them a byte)
//   Q8_0    d f16, 32 x int8                              value = d * q
//   Q4_0    d f16, 16 bytes of nibbles                    value = d * (q - 8)
//   Q4_1    d, m f16, 16 bytes of nibbles                 value = d * q + m
//   Q5_0    d f16, 4 bytes of upper bits, nibbles         value = d * (q - 16)
//   Q5_1    d, m f16, 4 bytes of upper bits, nibbles      value = d * q + m
//   Q2_K    16 x (scale, min) 4 bits, 64 bytes of 2 bits, d, dmin f16          value = d * scale * q - dmin * min, of 16 elements each
//   Q3_K    32 bytes of upper bits, 64 of 2 bits, 16 x scale 6 bits, d f16     value = d * (scale - 32) * (q - 4), of 16 each
//   Q4_K    d, dmin f16, 8 x (scale, min) 6 bits, 128 bytes of nibbles         value = d * scale * q - dmin * min, of 32 each
//   Q5_K    d, dmin f16, 8 x (scale, min) 6 bits, 32 bytes of upper bits, 128 of nibbles      the same
//   Q6_K    128 bytes of nibbles, 64 of 2 upper bits, 16 x int8 scale, d f16   value = d * scale * (q - 32), of 16 each
//   IQ4_NL  as Q4_0                                                            value = d * table[q]
//   IQ4_XS  d f16, 8 x scale 6 bits (upper bits first), 128 bytes of nibbles   value = d * (scale - 32) * table[q], of 32 each
//   MXFP4   e (E8M0), 16 bytes of nibbles                                      value = 2^(e - 127) * E2M1[q]; NaN where e is 255
//   F8_E4M3 d float32, 64 x E4M3                                               value = d * q, rounded to float32
#include "tensor/dtype.h"

#ifdef __CUDACC__
#define KVASIR_ANYWHERE __host__ __device__ inline
#else
#define KVASIR_ANYWHERE inline
#endif

namespace kvasir::quant {

// Element k of a block of 32 whose nibbles are (k, k + 16).
KVASIR_ANYWHERE int nibble_of_32(const uint8_t* qs, int k) {
  return qs[k % 16] >> (k < 16 ? 0 : 4) & 15;
}
// Element k of 256 whose nibbles are (k, k + 32), in 32 bytes each.
KVASIR_ANYWHERE int nibble_of_256(const uint8_t* qs, int k) {
  return qs[k / 64 * 32 + k % 32] >> 4 * (k / 32 % 2) & 15;
}
// Element k of 256 of 2 bits: a byte has (k, k + 32, k + 64, k + 96), in 32 bytes each.
KVASIR_ANYWHERE int two_bits_of_256(const uint8_t* qs, int k) {
  return qs[k / 128 * 32 + k % 32] >> 2 * (k / 32 % 4) & 3;
}
KVASIR_ANYWHERE int bit_of_32(const uint8_t* bits, int k) {
  return bits[k / 8] >> k % 8 & 1;
}
// Bit k / 32 of byte k mod 32.
KVASIR_ANYWHERE int bit_of_256(const uint8_t* bits, int k) {
  return bits[k % 32] >> k / 32 & 1;
}

// q of element k of a block, as a number from 0 on (Q8_0: 128 + q; F8_E4M3: its bits).
template <DType type>
KVASIR_ANYWHERE int level(const uint8_t* block, int k) {
  if constexpr (type == DType::Q8_0) {
    return block[2 + k] ^ 0x80;
  } else if constexpr (type == DType::F8_E4M3) {
    return block[4 + k];
  } else if constexpr (type == DType::Q4_0 || type == DType::IQ4_NL) {
    return nibble_of_32(block + 2, k);
  } else if constexpr (type == DType::Q4_1) {
    return nibble_of_32(block + 4, k);
  } else if constexpr (type == DType::Q5_0) {
    return nibble_of_32(block + 6, k) | bit_of_32(block + 2, k) << 4;
  } else if constexpr (type == DType::Q5_1) {
    return nibble_of_32(block + 8, k) | bit_of_32(block + 4, k) << 4;
  } else if constexpr (type == DType::Q2_K) {
    return two_bits_of_256(block + 16, k);
  } else if constexpr (type == DType::Q3_K) {
    return two_bits_of_256(block + 32, k) | bit_of_256(block, k) << 2;
  } else if constexpr (type == DType::Q4_K) {
    return nibble_of_256(block + 16, k);
  } else if constexpr (type == DType::Q5_K) {
    return nibble_of_256(block + 48, k) | bit_of_256(block + 16, k) << 4;
  } else if constexpr (type == DType::Q6_K) {
    return (block[k / 128 * 64 + k % 64] >> 4 * (k / 64 % 2) & 15) | two_bits_of_256(block + 128, k) << 4;
  } else if constexpr (type == DType::IQ4_XS) {
    return nibble_of_32(block + 8 + k / 32 * 16, k % 32);
  } else {
    static_assert(type == DType::MXFP4);
    return nibble_of_32(block + 1, k);
  }
}

// The 6-bit scale and min of 32 elements in Q4_K and Q5_K: eight of each in 12 bytes.
KVASIR_ANYWHERE int scale_of_32(const uint8_t* packed, int sub) {
  return sub < 4 ? packed[sub] & 63 : (packed[sub + 4] & 15) | packed[sub - 4] >> 6 << 4;
}
KVASIR_ANYWHERE int min_of_32(const uint8_t* packed, int sub) {
  return sub < 4 ? packed[sub + 4] & 63 : packed[sub + 4] >> 4 | packed[sub] >> 6 << 4;
}
// The 6-bit scale of 16 elements in Q3_K: 16 of them in 12 bytes.
KVASIR_ANYWHERE int scale_of_16(const uint8_t* packed, int sub) {
  return (packed[sub % 8] >> sub / 8 * 4 & 15) | (packed[8 + sub % 4] >> sub / 4 * 2 & 3) << 4;
}

// That of 32 elements in IQ4_XS, of a whole block.
KVASIR_ANYWHERE int scale_of_iq4_xs(const uint8_t* block, int sub) {
  return (block[4 + sub / 2] >> sub % 2 * 4 & 15) | (block[2 + sub / 4] >> sub % 4 * 2 & 3) << 4;
}

// What the 16 levels of a format stand for, made positive.
struct Values {
  alignas(16) uint8_t of[16];
};

inline constexpr int kIq4Offset = 128;
// kIq4Offset + the values of IQ4_NL and IQ4_XS.
inline constexpr Values kIq4 = {{1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241}};
inline constexpr int kE2m1Offset = 16;
// kE2m1Offset + twice those of E2M1: 0, 1/2, 1, 3/2, 2, 3, 4, 6 and their negatives.
inline constexpr Values kE2m1 = {{16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4}};

}  // namespace kvasir::quant
