// out = x . weight^T + bias where the weight is (code - zero) * scale: codes of 8 or 4 bits, one scale (and perhaps one
// zero) for each output and group of k.
//
// Codes lie in panels of 32 outputs as plain weights do. The products of a slice are summed with the bare codes, and the
// sum is scaled: one more multiplication for each slice and not for each weight. Slices never cross a group, and every
// tile shape takes the same slices in the same order, so an output's bits are the same in every batch.
#pragma once
#include "linear.h"

namespace paddock::PADDOCK_ISA {

struct code8 {
  int8_t bits;
};

// Two 4-bit codes. 64 bytes hold 4 k of a panel: nibble 2 * i + h of lane l is output 16 * h + l at k + i.
struct code4x2 {
  uint8_t bits;
};

constexpr int64_t kNibbleDepth = 4;

template <class W> constexpr int64_t kPanelBytes = kPanel;  // of one k
template <> constexpr int64_t kPanelBytes<code4x2> = kPanel / 2;

PADDOCK_INLINE void fetch_outs(const code8* p, f32x16* outs) {
  outs[0] = __builtin_convertvector(load_bytes(p), f32x16);
  outs[1] = __builtin_convertvector(load_bytes(p + 16), f32x16);
}

// The signed codes of nibble number `place` in all lanes.
template <int place>
PADDOCK_INLINE f32x16 nibble(i32x16 raw) {
#if PADDOCK_WIDE
  // A permutation of a register reads only the low four bits of its index: shift and table lookup, two instructions.
  const f32x16 table = {0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1};
  return __builtin_shuffle(table, (i32x16)((u32x16)raw >> (4 * place)));
#else
  return __builtin_convertvector((raw << (28 - 4 * place)) >> 28, f32x16);
#endif
}

// The 32 outputs of k + i for i in [0, 4).
PADDOCK_INLINE void fetch_four(const code4x2* p, f32x16 (*outs)[2]) {
  i32x16 raw;
  memcpy(&raw, p, sizeof raw);
  outs[0][0] = nibble<0>(raw), outs[0][1] = nibble<1>(raw), outs[1][0] = nibble<2>(raw), outs[1][1] = nibble<3>(raw);
  outs[2][0] = nibble<4>(raw), outs[2][1] = nibble<5>(raw), outs[3][0] = nibble<6>(raw), outs[3][1] = nibble<7>(raw);
}

// As `add_products` of plain panels; `depth` is a multiple of 4.
template <int M, int P>
PADDOCK_INLINE void add_products(const float* x, int64_t x_stride, const code4x2* panel, int64_t panel_stride,
                                 int64_t depth, f32x16 (*totals)[P][2]) {
  f32x16 sums[M][P][2];
  clear<M * P * 2>(sums[0][0]);
  for (int64_t k = 0; k < depth; k += kNibbleDepth)
    for (int p = 0; p < P; ++p) {
      f32x16 outs[kNibbleDepth][2];
      fetch_four(panel + p * panel_stride + k * kPanelBytes<code4x2>, outs);
      for (int i = 0; i < kNibbleDepth; ++i)
        for (int m = 0; m < M; ++m) {
          const f32x16 factor = splat(x[m * x_stride + k + i]);
          sums[m][p][0] += factor * outs[i][0], sums[m][p][1] += factor * outs[i][1];
        }
    }
  for (int m = 0; m < M; ++m)
    for (int p = 0; p < P; ++p) totals[m][p][0] += sums[m][p][0], totals[m][p][1] += sums[m][p][1];
}

// The codes of a panel's slice as float32, [depth][32].
PADDOCK_INLINE void widen_codes(const code8* panel, int64_t depth, float* space) {
  for (int64_t k = 0; k < depth; ++k) {
    f32x16 outs[2];
    fetch_outs(panel + k * kPanel, outs);
    store(space + k * kPanel, outs[0]), store(space + k * kPanel + 16, outs[1]);
  }
}
PADDOCK_INLINE void widen_codes(const code4x2* panel, int64_t depth, float* space) {
  for (int64_t k = 0; k < depth; k += kNibbleDepth) {
    f32x16 outs[kNibbleDepth][2];
    fetch_four(panel + k * kPanelBytes<code4x2>, outs);
    for (int i = 0; i < kNibbleDepth; ++i)
      store(space + (k + i) * kPanel, outs[i][0]), store(space + (k + i) * kPanel + 16, outs[i][1]);
  }
}

// A run of k within one group; `number` counts them from k = 0.
struct CodeSlice {
  int64_t k, depth, group, number;
};

PADDOCK_INLINE CodeSlice slice_at(const QuantizedStep& args, int64_t k, int64_t number) {
  const int64_t group = k / args.group, left = (group + 1) * args.group - k;
  const int64_t inside = left < args.linear.in_features - k ? left : args.linear.in_features - k;
  return {k, inside < kDepth ? inside : kDepth, group, number};
}

// totals[p] += scale * (sums[p] - zero * sum of x), for the panels from output `col` on.
template <int P>
PADDOCK_INLINE void add_scaled(const QuantizedStep& args, int64_t row, int64_t col, const CodeSlice& slice,
                               const f32x16 (*sums)[2], f32x16 (*totals)[2]) {
  const int64_t groups = args.groups;
  for (int p = 0; p < P; ++p) {
    const int64_t place = (col + p * kPanel) * groups + slice.group * kPanel;
    for (int half = 0; half < 2; ++half) {
      f32x16 part = sums[p][half];
      if (args.zeros) part -= load(args.zeros + place + 16 * half) * splat(args.x_sums[row * args.slices + slice.number]);
      totals[p][half] += part * load(args.scales + place + 16 * half);
    }
  }
}

template <class T, class W, int M, int P>
PADDOCK_INLINE void stream_codes(const QuantizedStep& args, int64_t row, int64_t col) {
  const int64_t in = args.linear.in_features, panel_size = in * kPanelBytes<W>;
  const float* x = (const float*)args.linear.x + row * args.linear.x_stride;
  const W* panel = (const W*)args.linear.weight + col / kPanel * panel_size;
  f32x16 totals[M][P][2];
  clear<M * P * 2>(totals[0][0]);
  for (int64_t k = 0, number = 0; k < in; ++number) {
    const CodeSlice slice = slice_at(args, k, number);
    f32x16 sums[M][P][2];
    clear<M * P * 2>(sums[0][0]);
    add_products<M, P>(x + k, args.linear.x_stride, panel + k * kPanelBytes<W>, panel_size, slice.depth, sums);
    for (int m = 0; m < M; ++m) add_scaled<P>(args, row + m, col, slice, sums[m], totals[m]);
    k += slice.depth;
  }
  for (int m = 0; m < M; ++m)
    for (int p = 0; p < P; ++p) write_outs<T>(args.linear, row + m, col + p * kPanel, totals[m][p]);
}

// Calls the tile of exactly `rows` rows, for all panels of [out0, out1).
template <class T, class W, int M = kTileRows>
PADDOCK_INLINE void stream_code_rows(const QuantizedStep& args, int64_t rows, int64_t row, int64_t out0,
                                     int64_t out1) {
  if (rows == M) {
    constexpr int P = !PADDOCK_WIDE ? 1 : M == 1 ? 4 : M < 4 ? 2 : 1;
    int64_t col = out0;
    for (; col + (P - 1) * kPanel < out1; col += P * kPanel) stream_codes<T, W, M, P>(args, row, col);
    for (; col < out1; col += kPanel) stream_codes<T, W, M, 1>(args, row, col);
    return;
  }
  if constexpr (M > 1) stream_code_rows<T, W, M - 1>(args, rows, row, out0, out1);
}

// Many rows: a slice's codes are widened once for all of them; between slices the totals wait in `held`.
template <class T, int M = kTileRows>
PADDOCK_INLINE void code_slice_rows(const QuantizedStep& args, int64_t rows, int64_t row, int64_t col,
                                    const CodeSlice& slice, const float* codes, f32x16 (*held)[1][2]) {
  if (rows == M) {
    const LinearArgs& linear = args.linear;
    f32x16 totals[M][1][2], sums[M][1][2];
    clear<M * 2>(sums[0][0]);
    if (slice.k) memcpy(totals, held, sizeof totals);
    else clear<M * 2>(totals[0][0]);
    const float* x = (const float*)linear.x + row * linear.x_stride + slice.k;
    add_products<M, 1>(x, linear.x_stride, codes, 0, slice.depth, sums);
    for (int m = 0; m < M; ++m) add_scaled<1>(args, row + m, col, slice, sums[m], totals[m]);
    if (slice.k + slice.depth < linear.in_features) memcpy(held, totals, sizeof totals);
    else
      for (int m = 0; m < M; ++m) write_outs<T>(linear, row + m, col, totals[m][0]);
    return;
  }
  if constexpr (M > 1) code_slice_rows<T, M - 1>(args, rows, row, col, slice, codes, held);
}

template <class T, class W>
static void code_panel(const QuantizedStep& args, int64_t row0, int64_t row1, int64_t col) {
  alignas(64) float space[kDepth * kPanel];
  alignas(64) f32x16 held[kLinearRows][1][2];
  const int64_t in = args.linear.in_features;
  const W* panel = (const W*)args.linear.weight + col / kPanel * in * kPanelBytes<W>;
  for (int64_t k = 0, number = 0; k < in; ++number) {
    const CodeSlice slice = slice_at(args, k, number);
    widen_codes(panel + k * kPanelBytes<W>, slice.depth, space);
    for (int64_t row = row0; row < row1; row += kTileRows)
      code_slice_rows<T>(args, row1 - row < kTileRows ? row1 - row : kTileRows, row, col, slice, space,
                         held + (row - row0));
    k += slice.depth;
  }
}

template <class T, class W>
static void linear_codes(const QuantizedStep& args, int64_t row0, int64_t row1, int64_t out0, int64_t out1) {
  if (row1 - row0 <= kTileRows) return stream_code_rows<T, W>(args, row1 - row0, row0, out0, out1);
  for (int64_t col = out0; col < out1; col += kPanel) code_panel<T, W>(args, row0, row1, col);
}

// `out0` is a multiple of 32, and so is `out1` or it is the end.
template <class T>
static void linear_quantized(const QuantizedStep& args, int64_t row0, int64_t row1, int64_t out0, int64_t out1) {
  if (args.bits == 4) linear_codes<T, code4x2>(args, row0, row1, out0, out1);
  else linear_codes<T, code8>(args, row0, row1, out0, out1);
}

// x_sums of rows [row0, row1): what the zeros are multiplied by.
static inline void sum_slices(const QuantizedStep& args, int64_t row0, int64_t row1) {
  for (int64_t row = row0; row < row1; ++row) {
    const float* x = (const float*)args.linear.x + row * args.linear.x_stride;
    for (int64_t k = 0, number = 0; k < args.linear.in_features; ++number) {
      const CodeSlice slice = slice_at(args, k, number);
      float total = 0;
      for (int64_t i = 0; i < slice.depth; ++i) total += x[k + i];
      args.x_sums[row * args.slices + number] = total;
      k += slice.depth;
    }
  }
}

// The weights of single outputs, as plain numbers.
template <class T>
static void lookup_quantized(const QuantizedLookupArgs& args, int64_t row0, int64_t row1) {
  for (int64_t row = row0; row < row1; ++row) {
    const int64_t out = args.indices[row], panel = out / kPanel, lane = out % kPanel;
    const float* scales = args.scales + panel * args.groups * kPanel + lane;
    const float* zeros = args.zeros ? args.zeros + panel * args.groups * kPanel + lane : nullptr;
    T* to = (T*)args.out + row * args.in_features;
    alignas(64) float values[16];
    PADDOCK_FOR_LANES(first, n, args.in_features) {
      for (int64_t i = 0; i < n; ++i) {
        const int64_t k = first + i, group = k / args.group * kPanel;
        float code;
        if (args.bits == 4) {
          const uint8_t* block = (const uint8_t*)args.packed + (panel * args.in_features + k / 4 * 4) * (kPanel / 2);
          const uint8_t pair = block[lane % 16 * 4 + k % 4];
          code = (float)(((lane < 16 ? pair & 15 : pair >> 4) ^ 8) - 8);
        } else {
          code = ((const int8_t*)args.packed)[(panel * args.in_features + k) * kPanel + lane];
        }
        values[i] = (code - (zeros ? zeros[group] : 0.0f)) * scales[group];
      }
      store_lanes(to + first, load(values), n);
    }
  }
}

}  // namespace paddock::PADDOCK_ISA
