// out = x . weight^T + bias with float32 sums, for any number of rows, reading the weight where it lies.
#pragma once
#include "arguments.h"
#include "dot.h"

namespace paddock::PADDOCK_ISA {

constexpr int64_t kDepth = 1024;  // elements of k at a time: kTileN rows of them stay in the first-level cache
constexpr int kTile = kTileM * kTileN;

template <class T, int M, int N>
PADDOCK_INLINE void write_tile(const LinearArgs& args, int64_t row, int64_t col, const f32x16* acc) {
  float tile[(M * N + 15) / 16 * 16];
  sums<M * N>(acc, tile);
  T* out = (T*)args.out + row * args.out_features + col;
  const T* bias = (const T*)args.bias;
  for (int m = 0; m < M; ++m) {
    f32x16 values = load_partial(tile + m * N, N);
    if (bias) values += load_partial(bias + col, N);
    store_partial(out + m * args.out_features, values, N);
  }
}

// Few rows: the weight streams through the registers once.
template <class T, int M, int N>
PADDOCK_INLINE void stream_tile(const LinearArgs& args, int64_t row, int64_t col) {
  const float* x[M];
  const T* weight[N];
  f32x16 acc[M * N] = {};
  for (int m = 0; m < M; ++m) x[m] = args.x + (row + m) * args.x_stride;
  for (int n = 0; n < N; ++n) weight[n] = (const T*)args.weight + (col + n) * args.in_features;
  accumulate<M, N>(x, weight, args.in_features, acc);
  write_tile<T, M, N>(args, row, col, acc);
}

template <class T, int M, int N>
PADDOCK_INLINE void stream(const LinearArgs& args, int64_t row, int64_t out0, int64_t out1) {
  int64_t col = out0;
  for (; col + N <= out1; col += N) stream_tile<T, M, N>(args, row, col);
  for (; col < out1; ++col) stream_tile<T, M, 1>(args, row, col);
}

// One slice of k for all rows against N weight rows; the accumulators of unfinished outputs wait in `held`.
template <class T, int M, int N>
PADDOCK_INLINE void slice_tile(const LinearArgs& args, int64_t row, int64_t col, int64_t k, int64_t depth, bool last,
                               const float* const* weight, f32x16* held) {
  const float* x[M];
  f32x16 acc[M * N] = {};
  for (int m = 0; m < M; ++m) x[m] = args.x + (row + m) * args.x_stride + k;
  if (k)
    for (int i = 0; i < M * N; ++i) acc[i] = held[i];
  accumulate<M, N>(x, weight, depth, acc);
  if (last) return write_tile<T, M, N>(args, row, col, acc);
  for (int i = 0; i < M * N; ++i) held[i] = acc[i];
}

template <class T, int N>
PADDOCK_INLINE void slice_panel(const LinearArgs& args, int64_t row0, int64_t row1, int64_t col, int64_t k,
                                f32x16* held) {
  alignas(64) float space[N][kDepth];
  const float* weight[N];
  const int64_t length = args.in_features - k < kDepth ? args.in_features - k : kDepth;
  const bool last = k + length == args.in_features;
  for (int n = 0; n < N; ++n)
    weight[n] = as_float((const T*)args.weight + (col + n) * args.in_features + k, length, space[n]);
  const int64_t depth = float_dim<T>(length);
  int64_t row = row0;
  for (; row + kTileM <= row1; row += kTileM, held += kTileM * N)
    slice_tile<T, kTileM, N>(args, row, col, k, depth, last, weight, held);
  for (; row < row1; ++row, held += N) slice_tile<T, 1, N>(args, row, col, k, depth, last, weight, held);
}

template <class T>
static void linear(const LinearArgs& args, int64_t row0, int64_t row1, int64_t out0, int64_t out1) {
  if (row1 - row0 == 1) return stream<T, 1, kTileNarrow>(args, row0, out0, out1);
  if (row1 - row0 == 2) return stream<T, 2, kTileNarrow>(args, row0, out0, out1);
  if (row1 - row0 == 3) return stream<T, 3, kTileNarrow / 2>(args, row0, out0, out1);
  alignas(64) f32x16 held[kLinearRows * kLinearOuts];
  const int64_t rows = row1 - row0;
  for (int64_t k = 0; k < args.in_features; k += kDepth) {
    int64_t col = out0;
    for (; col + kTileN <= out1; col += kTileN)
      slice_panel<T, kTileN>(args, row0, row1, col, k, held + (col - out0) * rows);
    for (; col < out1; ++col) slice_panel<T, 1>(args, row0, row1, col, k, held + (col - out0) * rows);
  }
}

// The rows of x as `linear` wants them, for element types other than float32.
template <class T>
static void widen_rows(const void* x, int64_t x_stride, int64_t dim, int64_t rows, float* out) {
  if constexpr (kParts<T> == 2)
    for (int64_t row = 0; row < rows; ++row) widen((const T*)x + row * x_stride, dim, out + row * padded(dim));
}

}  // namespace paddock::PADDOCK_ISA
