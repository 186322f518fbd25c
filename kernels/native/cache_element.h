// Elements of a cache that are not the computation's: bfloat16, and the two 8-bit floats of OCP's OFP8 (2023), which
// hold a value divided by a scale. They are converted a row at a time; writing saturates, and a NaN stays one.
#pragma once
#include "arguments.h"
#include "vec.h"

namespace paddock::PADDOCK_ISA {

// `specials`: the least magnitude that is no number, from which on the codes mean infinity and NaN.
template <int mantissa, int bias, int specials>
struct Float8 {
  static constexpr int kShift = 23 - mantissa;
  static constexpr float kUnit = 1.0f / (1 << (bias - 1 + mantissa));  // of the subnormal numbers
  static constexpr int kLargest = specials - 1;

  PADDOCK_INLINE f32x16 decode(i32x16 code) {  // of each byte with its sign
    const i32x16 magnitude = code & 0x7f;
    const i32x16 number = (magnitude << kShift) + ((127 - bias) << 23);
    const i32x16 special = (magnitude << kShift) | 0x7f800000;
    i32x16 bits = magnitude < (1 << mantissa) ? (i32x16)(__builtin_convertvector(magnitude, f32x16) * kUnit) : number;
    bits = magnitude >= specials ? special : bits;
    return (f32x16)(bits | (i32x16)((u32x16)code & 0x80000000u));
  }

  PADDOCK_INLINE u8x16 encode(f32x16 x) {
    const i32x16 sign = (i32x16)((u32x16)x >> 24) & 0x80;
    const f32x16 size = (f32x16)((i32x16)x & 0x7fffffff);
    const f32x16 largest = (f32x16)(i32x16{} + ((kLargest << kShift) + ((127 - bias) << 23)));
    const f32x16 held = select(size < largest, size, largest);
    const i32x16 raw = (i32x16)held;
    const i32x16 nearest = raw + ((1 << (kShift - 1)) - 1) + ((raw >> kShift) & 1);
    // Adding 1.5 * 2^23 rounds to whole units, ties to even, and leaves them in the lowest bits.
    const i32x16 units = (i32x16)(held * (1.0f / kUnit) + 12582912.f) & 0xff;
    i32x16 code = held < kUnit * (1 << mantissa) ? units : (nearest >> kShift) - ((127 - bias) << mantissa);
    code = x != x ? i32x16{} + 0x7f : code;
    return __builtin_convertvector(code | sign, u8x16);
  }
};

using E4M3 = Float8<3, 7, 0x7f>;
using E5M2 = Float8<2, 15, 0x7c>;

template <class Format>
static inline void decode_row(const uint8_t* from, int64_t dim, float* out) {
  for (int64_t d = 0; d < dim; d += 16) store(out + d, Format::decode(load_bytes(from + d)));
}

template <class Format, class T>
static inline void encode_row(const T* from, int64_t dim, float scale, uint8_t* out) {
  PADDOCK_FOR_LANES(d, n, dim) {
    const u8x16 codes = Format::encode(load_lanes(from + d, n) / scale);
    memcpy(out + d, &codes, n);
  }
}

// A row of the cache as float32, still without its scale; `dim` is a multiple of 16.
static inline void widen_cache_row(int64_t element, const void* from, int64_t dim, float* out) {
  if (element == kE4M3) decode_row<E4M3>((const uint8_t*)from, dim, out);
  else if (element == kE5M2) decode_row<E5M2>((const uint8_t*)from, dim, out);
  else
    for (int64_t d = 0; d < dim; d += 16) store(out + d, load((const bf16*)from + d));
}

template <class T>
static inline void narrow_cache_row(int64_t element, const T* from, int64_t dim, float scale, void* out) {
  if (element == kE4M3) encode_row<E4M3>(from, dim, scale, (uint8_t*)out);
  else if (element == kE5M2) encode_row<E5M2>(from, dim, scale, (uint8_t*)out);
  else PADDOCK_FOR_LANES(d, n, dim) { store_lanes((bf16*)out + d, load_lanes(from + d, n), n); }
}

}  // namespace paddock::PADDOCK_ISA
