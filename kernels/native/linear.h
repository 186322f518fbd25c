// out = x . weight^T + bias with float32 sums, for any number of rows.
//
// The weight lies in panels of 32 outputs, [in][32] each (`pack_panel`), so 32 outputs grow side by side, one product
// for each k in order, and the sums of 256 products each are added up: nothing is summed across lanes, and an output's
// bits are the same in every tile shape, hence in every batch. (The register tile of Goto and van de Geijn 2008.)
#pragma once
#include "arguments.h"
#include "vec.h"

namespace paddock::PADDOCK_ISA {

// A tile's rows by register file: its sums are two vectors a row, and each vector is one register in the wide sets.
#if PADDOCK_WIDE
constexpr int kTileRows = 8;
#else
constexpr int kTileRows = 3;
#endif

// The 32 outputs of one k. A bfloat16 panel holds outputs i and i + 16 side by side: a shift and a mask part them.
PADDOCK_INLINE void fetch_outs(const float* p, f32x16* outs) { outs[0] = load(p), outs[1] = load(p + 16); }
PADDOCK_INLINE void fetch_outs(const bf16* p, f32x16* outs) {
  u32x16 raw;
  memcpy(&raw, p, sizeof raw);
  outs[0] = (f32x16)(raw << 16), outs[1] = (f32x16)(raw & 0xffff0000u);
}

constexpr int64_t place_in_panel(const float*, int64_t out) { return out; }
constexpr int64_t place_in_panel(const bf16*, int64_t out) { return out % 16 * 2 + out / 16; }

// Cache lines that are read later, to be fetched one with each k; none where `first` is null.
struct LaterLines {
  const char* first;
  int64_t stride;
};

// totals[m][p] += x[m] . panel p, over `depth` elements of k.
template <int M, int P, class W>
PADDOCK_INLINE void add_products(const float* x, int64_t x_stride, const W* panel, int64_t panel_stride,
                                 int64_t depth, f32x16 (*totals)[P][2], LaterLines later = {}) {
  f32x16 sums[M][P][2];
  clear<M * P * 2>(sums[0][0]);
  for (int64_t k = 0; k < depth; ++k) {
    if (later.first) __builtin_prefetch(later.first + k * later.stride, 0, 2);
    for (int p = 0; p < P; ++p) {
      f32x16 outs[2];
      fetch_outs(panel + p * panel_stride + k * kPanel, outs);
      for (int m = 0; m < M; ++m) {
        const f32x16 factor = splat(x[m * x_stride + k]);
        sums[m][p][0] += factor * outs[0], sums[m][p][1] += factor * outs[1];
      }
    }
  }
  for (int m = 0; m < M; ++m)
    for (int p = 0; p < P; ++p) totals[m][p][0] += sums[m][p][0], totals[m][p][1] += sums[m][p][1];
}

template <class T>
PADDOCK_INLINE void write_outs(const LinearArgs& args, int64_t row, int64_t col, const f32x16* sums) {
  T* out = (T*)args.out + row * args.out_features;
  for (int half = 0; half < 2; ++half, col += 16) {
    const int64_t n = args.out_features - col < 16 ? args.out_features - col : 16;
    if (n <= 0) return;
    f32x16 values = sums[half];
    if (args.bias) values += load_lanes((const T*)args.bias + col, n);
    store_lanes(out + col, values, n);
  }
}

// Few rows: the weight streams through the registers once, P panels at a time to hide the latency of the sums.
template <class T, int M, int P>
PADDOCK_INLINE void stream_tile(const LinearArgs& args, int64_t row, int64_t col) {
  const int64_t panel_size = args.in_features * kPanel;
  const float* x = (const float*)args.x + row * args.x_stride;
  const T* panel = (const T*)args.weight + col * args.in_features;
  f32x16 totals[M][P][2];
  clear<M * P * 2>(totals[0][0]);
  for (int64_t k = 0; k < args.in_features; k += kDepth) {
    const int64_t left = args.in_features - k, depth = left < kDepth ? left : kDepth;
    add_products<M, P>(x + k, args.x_stride, panel + k * kPanel, panel_size, depth, totals);
  }
  for (int m = 0; m < M; ++m)
    for (int p = 0; p < P; ++p) write_outs<T>(args, row + m, col + p * kPanel, totals[m][p]);
}

template <class T, int M>
static void stream(const LinearArgs& args, int64_t row, int64_t out0, int64_t out1) {
  constexpr int P = !PADDOCK_WIDE ? 1 : M == 1 ? 4 : M < 4 ? 2 : 1;
  int64_t col = out0;
  for (; col + (P - 1) * kPanel < out1; col += P * kPanel) stream_tile<T, M, P>(args, row, col);
  for (; col < out1; col += kPanel) stream_tile<T, M, 1>(args, row, col);
}

// Many rows: the panel's slices of k, widened once for all of them. Between slices the totals wait in `held`.
struct Slice {
  const float* panel;
  int64_t k, depth;
  bool last;
  LaterLines later;
};

// While the second tile of rows (and the third, where a k has two lines) is multiplied, the panel that follows comes
// into the second-level cache: the first tile would else wait for memory, at 32 rows a sixth of the time.
template <class T>
PADDOCK_INLINE LaterLines lines_after(const T* slice_end, int64_t tile) {
  constexpr int64_t kLine = 64, kStride = kPanel * sizeof(T);
  if (tile < 1 || tile > kStride / kLine) return {};
  return {(const char*)slice_end + (tile - 1) * kLine, kStride};
}

template <class T, int M>
static void slice_tile(const LinearArgs& args, int64_t row, int64_t col, const Slice& slice, f32x16 (*held)[1][2]) {
  f32x16 totals[M][1][2];
  if (slice.k) memcpy(totals, held, sizeof totals);
  else clear<M * 2>(totals[0][0]);
  const float* x = (const float*)args.x + row * args.x_stride + slice.k;
  add_products<M, 1>(x, args.x_stride, slice.panel, 0, slice.depth, totals, slice.later);
  if (!slice.last) memcpy(held, totals, sizeof totals);
  else
    for (int m = 0; m < M; ++m) write_outs<T>(args, row + m, col, totals[m][0]);
}

// Calls the tile of exactly `rows` rows.
template <class T, int M = kTileRows>
PADDOCK_INLINE void slice_rows(const LinearArgs& args, int64_t rows, int64_t row, int64_t col, const Slice& slice,
                               f32x16 (*held)[1][2]) {
  if (rows == M) return slice_tile<T, M>(args, row, col, slice, held);
  if constexpr (M > 1) slice_rows<T, M - 1>(args, rows, row, col, slice, held);
}

template <class T, int M = kTileRows>
PADDOCK_INLINE void stream_rows(const LinearArgs& args, int64_t rows, int64_t row, int64_t out0, int64_t out1) {
  if (rows == M) return stream<T, M>(args, row, out0, out1);
  if constexpr (M > 1) stream_rows<T, M - 1>(args, rows, row, out0, out1);
}

PADDOCK_INLINE const float* wide_panel(const float* panel, int64_t, float*) { return panel; }
PADDOCK_INLINE const float* wide_panel(const bf16* panel, int64_t depth, float* space) {
  for (int64_t k = 0; k < depth; ++k) {
    f32x16 outs[2];
    fetch_outs(panel + k * kPanel, outs);
    store(space + k * kPanel, outs[0]), store(space + k * kPanel + 16, outs[1]);
  }
  return space;
}

template <class T>
static void panel_outs(const LinearArgs& args, int64_t row0, int64_t row1, int64_t col) {
  alignas(64) float space[kDepth * kPanel];
  alignas(64) f32x16 held[kLinearRows][1][2];
  const T* panel = (const T*)args.weight + col * args.in_features;
  for (int64_t k = 0; k < args.in_features; k += kDepth) {
    const int64_t left = args.in_features - k, depth = left < kDepth ? left : kDepth;
    Slice slice = {wide_panel(panel + k * kPanel, depth, space), k, depth, left <= kDepth, {}};
    for (int64_t row = row0; row < row1; row += kTileRows) {
      slice.later = lines_after(panel + (k + depth) * kPanel, (row - row0) / kTileRows);
      slice_rows<T>(args, row1 - row < kTileRows ? row1 - row : kTileRows, row, col, slice, held + (row - row0));
    }
  }
}

// `out0` is a multiple of 32, and so is `out1` or it is the end.
template <class T>
static void linear(const LinearArgs& args, int64_t row0, int64_t row1, int64_t out0, int64_t out1) {
  if (row1 - row0 <= kTileRows) return stream_rows<T>(args, row1 - row0, row0, out0, out1);
  for (int64_t col = out0; col < out1; col += kPanel) panel_outs<T>(args, row0, row1, col);
}

// The rows of x as float32.
template <class T>
static void widen_rows(const void* x, int64_t x_stride, int64_t dim, int64_t rows, float* out, int64_t out_stride) {
  for (int64_t row = 0; row < rows; ++row)
    PADDOCK_FOR_LANES(i, n, dim) {
      store_lanes(out + row * out_stride + i, load_lanes((const T*)x + row * x_stride + i, n), n);
    }
}

// One panel of a plain weight [out, in]; outputs past the end are zero.
template <class T>
static void pack_panel(const PackArgs& args, int64_t col) {
  constexpr int64_t kBlock = 64;  // of k: 32 rows of them stay in the first-level cache
  const T* from = (const T*)args.weight + col * args.in_features;
  T* to = (T*)args.packed + col * args.in_features;
  const int64_t outs = args.out_features - col < kPanel ? args.out_features - col : kPanel;
  for (int64_t first = 0; first < args.in_features; first += kBlock) {
    const int64_t end = first + kBlock < args.in_features ? first + kBlock : args.in_features;
    for (int64_t out = 0; out < kPanel; ++out)
      for (int64_t k = first; k < end; ++k)
        to[k * kPanel + place_in_panel(to, out)] = out < outs ? from[out * args.in_features + k] : T{};
  }
}

// The weights of single outputs, as they were before packing: one element of each of the panel's lines.
template <class T>
static void lookup(const LookupArgs& args, int64_t row0, int64_t row1) {
  for (int64_t row = row0; row < row1; ++row) {
    const int64_t out = args.indices[row], panel = out / kPanel;
    const T* from = (const T*)args.packed + panel * kPanel * args.in_features;
    from += place_in_panel(from, out % kPanel);
    T* to = (T*)args.out + row * args.in_features;
    for (int64_t k = 0; k < args.in_features; ++k) to[k] = from[k * kPanel];
  }
}

}  // namespace paddock::PADDOCK_ISA
