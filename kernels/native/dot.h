// Dot products between rows: the inner loop of the linear layers and of attention's scores.
//
// The left rows are float32. The right rows are float32 or bfloat16; a bfloat16 row is read 32 elements at a time,
// the even ones and then the odd ones (each is one shift or mask away from float32), so its left row has to lie in
// that order too, padded with zeros to a multiple of 32: `widen` writes it so.
//
// An output has one accumulator of 16 lanes, added to in order of k and summed by one tree: its bits are the same in
// every tile shape, hence in every batch.
#pragma once
#include "vec.h"

namespace paddock::PADDOCK_ISA {

template <class T> constexpr int kParts = 1;       // vectors that one fetch gives
template <> constexpr int kParts<bf16> = 2;
template <class T> constexpr int kStep = 16 * kParts<T>;

PADDOCK_INLINE void fetch(const float* p, f32x16* parts) { parts[0] = load(p); }
PADDOCK_INLINE void fetch(const bf16* p, f32x16* parts) {
  u32x16 raw;
  memcpy(&raw, p, sizeof raw);
  parts[0] = (f32x16)(raw << 16);
  parts[1] = (f32x16)(raw & 0xffff0000u);
}

template <class T>
PADDOCK_INLINE void fetch_partial(const T* p, int64_t n, f32x16* parts) {
  T tmp[kStep<T>] = {};
  memcpy(tmp, p, n * sizeof(T));
  fetch(tmp, parts);
}

// acc[m * N + n] += left[m] . right[n] over `dim` elements of the right rows.
template <int M, int N, class T>
PADDOCK_INLINE void accumulate(const float* const* left, const T* const* right, int64_t dim, f32x16* acc) {
  int64_t k = 0;
  // Few left rows: they are read from the first-level cache each time, and leave the registers to the sums.
  for (; M < 4 && k + kStep<T> <= dim; k += kStep<T>)
    for (int n = 0; n < N; ++n) {
      f32x16 r[kParts<T>];
      fetch(right[n] + k, r);
      for (int m = 0; m < M; ++m)
        for (int part = 0; part < kParts<T>; ++part) acc[m * N + n] += load(left[m] + k + 16 * part) * r[part];
    }
  for (; k + kStep<T> <= dim; k += kStep<T>) {
    f32x16 r[N][kParts<T>];
    for (int n = 0; n < N; ++n) fetch(right[n] + k, r[n]);
    for (int m = 0; m < M; ++m)
      for (int part = 0; part < kParts<T>; ++part) {
        const f32x16 l = load(left[m] + k + 16 * part);
        for (int n = 0; n < N; ++n) acc[m * N + n] += l * r[n][part];
      }
  }
  if (k == dim) return;
  for (int n = 0; n < N; ++n) {
    f32x16 r[kParts<T>];
    fetch_partial(right[n] + k, dim - k, r);
    for (int m = 0; m < M; ++m)
      for (int part = 0; part < kParts<T>; ++part) {
        // Float32 left rows are not padded.
        const f32x16 l = kParts<T> == 1 ? load_partial(left[m] + k, dim - k) : load(left[m] + k + 16 * part);
        acc[m * N + n] += l * r[part];
      }
  }
}

template <int count>
PADDOCK_INLINE void sums(const f32x16* acc, float* out) {
  for (int first = 0; first < count; first += 16) {
    f32x16 group[16];
    for (int i = 0; i < 16; ++i) group[i] = first + i < count ? acc[first + i] : f32x16{};
    store(out + first, reduce16(group));
  }
}

constexpr int64_t padded(int64_t dim) { return (dim + 31) / 32 * 32; }

// A bfloat16 row as float32 in the order of `fetch`, `padded(dim)` long.
static inline void widen(const bf16* row, int64_t dim, float* out) {
  f32x16 parts[2];
  int64_t k = 0;
  for (; k + 32 <= dim; k += 32) {
    fetch(row + k, parts);
    store(out + k, parts[0]), store(out + k + 16, parts[1]);
  }
  if (k == dim) return;
  fetch_partial(row + k, dim - k, parts);
  store(out + k, parts[0]), store(out + k + 16, parts[1]);
}

// The row in a form that `accumulate` takes as float32: widened into `space`, or itself.
PADDOCK_INLINE const float* as_float(const float* row, int64_t, float*) { return row; }
PADDOCK_INLINE const float* as_float(const bf16* row, int64_t dim, float* space) {
  widen(row, dim, space);
  return space;
}

template <class T>
constexpr int64_t float_dim(int64_t dim) { return kParts<T> == 1 ? dim : padded(dim); }

}  // namespace paddock::PADDOCK_ISA
