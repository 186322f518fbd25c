// Scores of many rows over one block of positions. The keys are laid out by dimension once for all rows: sixteen
// positions grow side by side and nothing is summed across lanes. A score still is the sum that `accumulate` and
// `reduce16` make (sixteen partial sums, joined by their tree), so its bits are those of a decode.
#pragma once
#include "dot.h"
#include "softmax.h"

namespace paddock::PADDOCK_ISA {

// Row i and row i + half exchange the lanes that a transposition moves between them.
template <int half>
PADDOCK_INLINE void exchange_lanes(f32x16* rows) {
  i32x16 low, high;
  for (int lane = 0; lane < 16; ++lane) {
    low[lane] = lane & half ? 16 + lane - half : lane;
    high[lane] = lane & half ? 16 + lane : lane + half;
  }
  for (int i = 0; i < 16; ++i) {
    if (i & half) continue;
    const f32x16 first = __builtin_shuffle(rows[i], rows[i + half], low);
    rows[i + half] = __builtin_shuffle(rows[i], rows[i + half], high);
    rows[i] = first;
  }
}

// out[d][j] = keys[j][d] for sixteen of each; null keys are zeros.
PADDOCK_INLINE void transpose_keys(const float* const* keys, int64_t d, float* out) {
#if PADDOCK_WIDE
  f32x16 rows[16];
  for (int j = 0; j < 16; ++j) rows[j] = keys[j] ? load(keys[j] + d) : f32x16{};
  exchange_lanes<8>(rows), exchange_lanes<4>(rows), exchange_lanes<2>(rows), exchange_lanes<1>(rows);
  for (int i = 0; i < 16; ++i) store(out + i * kAttentionBlock, rows[i]);
#else
  for (int j = 0; j < 16; ++j)
    for (int i = 0; i < 16; ++i) out[i * kAttentionBlock + j] = keys[j] ? keys[j][d + i] : 0.0f;
#endif
}

// For M rows and sixteen positions, the partial sums of lanes lane, lane + half, ... joined: `keys` is [dim][64].
template <int M, int half>
PADDOCK_INLINE void join_lanes(const float* const* query, const float* keys, int64_t dim, int lane, f32x16* sums) {
  if constexpr (half == 16) {
    clear<M>(sums);
    for (int64_t d = lane; d < dim; d += 16) {
      const f32x16 key = load(keys + d * kAttentionBlock);
      for (int m = 0; m < M; ++m) sums[m] += key * query[m][d];
    }
  } else {
    f32x16 others[M];
    join_lanes<M, 2 * half>(query, keys, dim, lane, sums);
    join_lanes<M, 2 * half>(query, keys, dim, lane + half, others);
    for (int m = 0; m < M; ++m) sums[m] += others[m];
  }
}

template <int M>
PADDOCK_INLINE void score_vector(const float* const* query, const float* keys, int64_t dim, float scale,
                                 float* scores) {
  f32x16 sums[M];
  join_lanes<M, 1>(query, keys, dim, 0, sums);
  for (int m = 0; m < M; ++m) store(scores + m * kAttentionBlock, sums[m] * scale);
}

// `DIM` as in `few_rows`.
template <int DIM>
static void score_rows(const float* const* query, int64_t rows, int64_t any_dim, float scale, int64_t first,
                       int64_t last, const float* keys, float* scores) {
  constexpr int M = PADDOCK_WIDE ? 4 : 2;  // five sums a row are under way at once
  const int64_t dim = DIM ? DIM : any_dim;
  for (int64_t j = first; j < last; j += 16) {
    int64_t row = 0;
    for (; row + M <= rows; row += M)
      score_vector<M>(query + row, keys + j, dim, scale, scores + row * kAttentionBlock + j);
    for (; row < rows; ++row)
      score_vector<1>(query + row, keys + j, dim, scale, scores + row * kAttentionBlock + j);
  }
}

// scores[row][j] for the positions j of [first, last) in the block and some beside them, which the mask hides.
template <class T>
PADDOCK_INLINE void score_shared(const float* const* query, int64_t rows, const T* const* key, int64_t dim,
                                 float scale, int64_t first, int64_t last, Scratch& scratch) {
  const float* wide[kAttentionBlock] = {};
  for (int64_t j = first; j < last; ++j) wide[j] = as_float(key[j], dim, scratch.wide + j * padded(dim));
  const int64_t wide_dim = float_dim<T>(dim), begin = first / 16 * 16;
  for (int64_t j = begin; j < last; j += 16)
    for (int64_t d = 0; d < wide_dim; d += 16)
      transpose_keys(wide + j, d, scratch.by_dim + d * kAttentionBlock + j);
  const auto run = wide_dim == 32    ? score_rows<32>
                   : wide_dim == 64  ? score_rows<64>
                   : wide_dim == 128 ? score_rows<128>
                                     : score_rows<0>;
  run(query, rows, wide_dim, scale, begin, last, scratch.by_dim, scratch.scores);
}

}  // namespace paddock::PADDOCK_ISA
