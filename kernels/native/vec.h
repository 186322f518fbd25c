// Sixteen float lanes in GCC vector extensions: the target attribute of the including file chooses the instructions.
#pragma once
#include <cstdint>
#include <cstring>
#if PADDOCK_WIDE
#include <immintrin.h>
#endif

#define PADDOCK_INLINE static inline __attribute__((always_inline))

namespace paddock {
struct bf16 {
  uint16_t bits;
};
}  // namespace paddock

// Everything below is compiled once for each instruction set, so it lives in that set's namespace.
namespace paddock::PADDOCK_ISA {

typedef float f32x16 __attribute__((vector_size(64)));
typedef int32_t i32x16 __attribute__((vector_size(64)));
typedef uint32_t u32x16 __attribute__((vector_size(64)));
typedef uint16_t u16x16 __attribute__((vector_size(32)));
typedef int16_t i16x16 __attribute__((vector_size(32)));
typedef int8_t i8x16 __attribute__((vector_size(16)));
typedef uint8_t u8x16 __attribute__((vector_size(16)));

constexpr float kInfinity = __builtin_inff();

// Written out: `f32x16{} + x` is an addition, and a broadcast between registers instead of from memory.
PADDOCK_INLINE f32x16 splat(float x) { return f32x16{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }

// One by one: the compiler would clear an array in memory, by a slow string instruction, before it is in registers.
template <int count>
PADDOCK_INLINE void clear(f32x16* v) {
  for (int i = 0; i < count; ++i) v[i] = f32x16{};
}

PADDOCK_INLINE f32x16 load(const float* p) {
  f32x16 v;
  memcpy(&v, p, sizeof v);
  return v;
}

PADDOCK_INLINE f32x16 load(const bf16* p) {
  u16x16 raw;
  memcpy(&raw, p, sizeof raw);
  return (f32x16)(__builtin_convertvector(raw, u32x16) << 16);
}

// Sixteen bytes as signed numbers. GCC 12 converts them one by one unless it is told how.
PADDOCK_INLINE i32x16 load_bytes(const void* p) {
#if PADDOCK_WIDE
  return (i32x16)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p));
#else
  i8x16 raw;
  memcpy(&raw, p, sizeof raw);
  return __builtin_convertvector(__builtin_convertvector(raw, i16x16), i32x16);
#endif
}

PADDOCK_INLINE void store(float* p, f32x16 v) { memcpy(p, &v, sizeof v); }

// The value that a store and a load give back: to bfloat16, rounded to nearest even; a NaN stays one, and quiet.
PADDOCK_INLINE f32x16 rounded_to(const float*, f32x16 v) { return v; }
PADDOCK_INLINE f32x16 rounded_to(const bf16*, f32x16 v) {
  u32x16 u = (u32x16)v;
  u32x16 rounded = (u + 0x7fff + ((u >> 16) & 1)) & 0xffff0000u;
  return v != v ? (f32x16)((u | 0x400000) & 0xffff0000u) : (f32x16)rounded;
}

PADDOCK_INLINE void store(bf16* p, f32x16 v) {
  u16x16 raw = __builtin_convertvector((u32x16)rounded_to(p, v) >> 16, u16x16);
  memcpy(p, &raw, sizeof raw);
}

template <class T>
PADDOCK_INLINE f32x16 load_partial(const T* p, int64_t n) {
  T tmp[16] = {};
  memcpy(tmp, p, n * sizeof(T));
  return load(tmp);
}

template <class T>
PADDOCK_INLINE void store_partial(T* p, f32x16 v, int64_t n) {
  T tmp[16];
  store(tmp, v);
  memcpy(p, tmp, n * sizeof(T));
}

// For i over [0, dim) by 16: n is 16, and what is left at the end.
#define PADDOCK_FOR_LANES(i, n, dim) \
  for (int64_t i = 0, n; i < (dim) && (n = (dim) - i < 16 ? (dim) - i : 16, true); i += 16)

template <class T>
PADDOCK_INLINE f32x16 load_lanes(const T* p, int64_t n) { return n == 16 ? load(p) : load_partial(p, n); }

template <class T>
PADDOCK_INLINE void store_lanes(T* p, f32x16 v, int64_t n) {
  if (n == 16) store(p, v);
  else store_partial(p, v, n);
}

PADDOCK_INLINE f32x16 select(i32x16 mask, f32x16 yes, f32x16 no) { return mask ? yes : no; }
PADDOCK_INLINE f32x16 max(f32x16 a, f32x16 b) { return select(a > b, a, b); }

// One merge of the reduction tree: the folded halves of `a` next to those of `b`, within groups of 2 * half lanes.
template <int half>
PADDOCK_INLINE f32x16 fold_pair(f32x16 a, f32x16 b) {
  i32x16 low, high;
  for (int lane = 0; lane < 16; ++lane) {
    int source = (lane / half) % 2 ? 16 : 0;
    low[lane] = source + lane / (2 * half) * (2 * half) + lane % half;
    high[lane] = low[lane] + half;
  }
  return __builtin_shuffle(a, b, low) + __builtin_shuffle(a, b, high);
}

// Lane i of the result is the sum of acc[i]. Each sum has the tree (i, i+8), (i, i+4), (i, i+2), (i, i+1), whatever
// its place, so a result does not depend on how the outputs were tiled.
PADDOCK_INLINE f32x16 reduce16(const f32x16* acc) {
  f32x16 a8[8], a4[4], a2[2];
  for (int i = 0; i < 8; ++i) a8[i] = fold_pair<8>(acc[i], acc[i + 8]);
  for (int i = 0; i < 4; ++i) a4[i] = fold_pair<4>(a8[i], a8[i + 4]);
  for (int i = 0; i < 2; ++i) a2[i] = fold_pair<2>(a4[i], a4[i + 2]);
  return fold_pair<1>(a2[0], a2[1]);
}

// Lane i of the result is lane i + half of v, for the lower half.
template <int half>
PADDOCK_INLINE f32x16 upper(f32x16 v) {
  i32x16 source;
  for (int lane = 0; lane < 16; ++lane) source[lane] = (lane + half) % 16;
  return __builtin_shuffle(v, source);
}

PADDOCK_INLINE float sum(f32x16 v) {
  v += upper<8>(v), v += upper<4>(v), v += upper<2>(v);
  return v[0] + v[1];
}

PADDOCK_INLINE float max_lane(f32x16 v) {
  v = max(v, upper<8>(v)), v = max(v, upper<4>(v)), v = max(v, upper<2>(v));
  return v[0] > v[1] ? v[0] : v[1];
}

// exp by Cody-Waite reduction and a minimax polynomial (Cephes expf); within 2 ulp, 0 below -87.3, infinite above 88.3.
PADDOCK_INLINE f32x16 exp(f32x16 x) {
  i32x16 tiny = x < splat(-87.3f), huge = x > splat(88.3f);
  x = select(huge, splat(0), select(tiny, splat(0), x));
  const float round = 12582912.f;  // 1.5 * 2^23: adding it leaves no fraction bits
  f32x16 n = (x * 1.44269504f + round) - round;
  f32x16 r = x - n * 0.693359375f - n * -2.12194440e-4f;
  f32x16 p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  i32x16 power = (__builtin_convertvector(n, i32x16) + 127) << 23;
  return select(huge, splat(kInfinity), select(tiny, splat(0), p * (f32x16)power));
}

// tanh by a minimax polynomial near 0 and by exp elsewhere (Cephes tanhf); within 3 ulp.
PADDOCK_INLINE f32x16 tanh(f32x16 x) {
  const f32x16 z = x * x;
  f32x16 p = splat(-5.70498872745e-3f);
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  return select(z < 0.390625f, p * z * x + x, 1.0f - 2.0f / (exp(x + x) + 1.0f));
}

}  // namespace paddock::PADDOCK_ISA
