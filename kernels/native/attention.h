// Paged attention by blocks of 64 positions with a running softmax (Milakov and Gimelshein 2018; Dao 2022).
// Blocks and chunks start at fixed positions of the sequence, and a masked position adds an exact zero, so a row's
// result is the same bits as a decode, inside any prompt chunk, and in any batch.
#pragma once
#include "attention_few.h"
#include "attention_scores.h"
#include "cache_element.h"
#include "dot.h"
#include "softmax.h"

namespace paddock::PADDOCK_ISA {

// rows[j] is the row of position base + j, for j in [first, last). Walks the table: a division for each position
// would cost more than the products of a small head.
template <class T>
PADDOCK_INLINE void cache_rows(const AttentionArgs& args, const void* cache, const AttentionTask& task, int64_t base,
                               int64_t first, int64_t last, const T** rows) {
  int64_t index = (base + first) / args.block_size, in_block = (base + first) % args.block_size;
  for (int64_t j = first; j < last; ++index, in_block = 0) {
    const T* block = cache_block<T>(args, cache, task, index);
    for (; in_block < args.block_size && j < last; ++in_block, ++j) rows[j] = block + in_block * args.head_dim;
  }
}

// values[row][d] = values[row][d] * rescale[row] + sum over j of weight[row][j] * value[j][d]: R rows, V vectors.
template <class T, int R, int V>
PADDOCK_INLINE void weigh_tile(const T* const* value, int64_t d, const float* weights, const float* rescale,
                               int64_t first, int64_t last, int64_t dim, float* values) {
  f32x16 acc[R][V];
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) acc[r][v] = load(values + r * dim + d + 16 * v) * rescale[r];
  for (int64_t j = first; j < last; ++j) {
    f32x16 row[V];
    for (int v = 0; v < V; ++v) row[v] = load(value[j] + d + 16 * v);
    for (int r = 0; r < R; ++r)
      for (int v = 0; v < V; ++v) acc[r][v] += row[v] * weights[r * kAttentionBlock + j];
  }
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) store(values + r * dim + d + 16 * v, acc[r][v]);
}

template <class T, int R>
PADDOCK_INLINE void weigh_rows(const T* const* value, const float* weights, const float* rescale, int64_t first,
                               int64_t last, int64_t dim, float* values) {
  int64_t d = 0;
  for (; d + 64 <= dim; d += 64) weigh_tile<T, R, 4>(value, d, weights, rescale, first, last, dim, values);
  for (; d + 32 <= dim; d += 32) weigh_tile<T, R, 2>(value, d, weights, rescale, first, last, dim, values);
  for (; d < dim; d += 16) weigh_tile<T, R, 1>(value, d, weights, rescale, first, last, dim, values);
}

template <class T>
PADDOCK_INLINE void weigh_block(const T* const* value, int64_t rows, const float* weights, const float* rescale,
                                int64_t first, int64_t last, int64_t dim, float* values) {
  int64_t row = 0;
  // A small head has two sums a row, and too few rows would wait for each sum.
  for (; dim == 32 && row + 8 <= rows; row += 8)
    weigh_tile<T, 8, 2>(value, 0, weights + row * kAttentionBlock, rescale + row, first, last, dim, values + row * dim);
  for (; row + 4 <= rows; row += 4)
    weigh_rows<T, 4>(value, weights + row * kAttentionBlock, rescale + row, first, last, dim, values + row * dim);
  for (; row + 2 <= rows; row += 2)
    weigh_rows<T, 2>(value, weights + row * kAttentionBlock, rescale + row, first, last, dim, values + row * dim);
  if (row < rows)
    weigh_rows<T, 1>(value, weights + row * kAttentionBlock, rescale + row, first, last, dim, values + row * dim);
}

// The row as float32, its elements in order: copied into `space`, or itself.
PADDOCK_INLINE const float* in_order(const float* row, int64_t, float*) { return row; }
PADDOCK_INLINE const float* in_order(const bf16* row, int64_t dim, float* space) {
  for (int64_t d = 0; d < dim; d += 16) store(space + d, load(row + d));
  return space;
}

template <class T>
PADDOCK_INLINE void weigh_shared(const T* const* value, int64_t rows, int64_t first, int64_t last, int64_t dim,
                                 Scratch& scratch, float* values) {
  const float* wide[kAttentionBlock];
  for (int64_t j = first; j < last; ++j) wide[j] = in_order(value[j], dim, scratch.wide + j * dim);
  weigh_block(wide, rows, scratch.scores, scratch.rescale, first, last, dim, values);
}

template <class T>
PADDOCK_INLINE void attend_block(const AttentionArgs& args, const AttentionTask& task, const float* const* query,
                                 int64_t base, Visible seen, Softmax& state, Scratch& scratch) {
  const int64_t first = seen.begin > base ? seen.begin - base : 0;
  const int64_t last = seen.end - base < kAttentionBlock ? seen.end - base : kAttentionBlock;
  const T *key[kAttentionBlock], *value[kAttentionBlock];
  cache_rows(args, args.key_cache, task, base, first, last, key);
  cache_rows(args, args.value_cache, task, base, first, last, value);
  score_shared(query, task.rows, key, args.head_dim, args.scale, first, last, scratch);
  soften_rows(args, task, base, state, scratch);
  weigh_shared(value, task.rows, first, last, args.head_dim, scratch, state.values);
}

// The rows of positions [first, last) from a cache whose elements are not the query's, as float32.
PADDOCK_INLINE void widen_cache(const AttentionArgs& args, const void* cache, const AttentionTask& task, int64_t base,
                                int64_t first, int64_t last, float* space, const float** rows) {
  const int64_t size = cache_bytes(args.cache_element, 0), dim = args.head_dim;
  for (int64_t j = first; j < last; ++j) {
    const int64_t index = (base + j) / args.block_size, in_block = (base + j) % args.block_size;
    const int64_t block = args.block_table[task.sequence * args.table_stride + index];
    const int64_t place = block * args.cache_stride + (task.kv_head * args.block_size + in_block) * dim;
    widen_cache_row(args.cache_element, (const char*)cache + place * size, dim, space + j * dim);
    rows[j] = space + j * dim;
  }
}

// As `attend_block`, for such a cache; the query is plain float32.
static void attend_narrow(const AttentionArgs& args, const AttentionTask& task, const float* const* query,
                          int64_t base, Visible seen, Softmax& state, Scratch& scratch) {
  const int64_t first = seen.begin > base ? seen.begin - base : 0, dim = args.head_dim;
  const int64_t last = seen.end - base < kAttentionBlock ? seen.end - base : kAttentionBlock;
  const float* rows[kAttentionBlock];
  widen_cache(args, args.key_cache, task, base, first, last, scratch.wide, rows);
  score_shared(query, task.rows, rows, dim, args.scale, first, last, scratch);
  soften_rows(args, task, base, state, scratch);
  widen_cache(args, args.value_cache, task, base, first, last, scratch.wide, rows);
  weigh_block(rows, task.rows, scratch.scores, scratch.rescale, first, last, dim, state.values);
}

template <class T>
PADDOCK_INLINE void write_row(const AttentionArgs& args, const AttentionTask& task, int64_t row, const float* values,
                              float maximum, float total) {
  const float weights = divisor(args, task, row, maximum, total);
  T* out = (T*)args.out + row_offset<T>(args, task, task.first_row + row, args.heads * args.head_dim);
  for (int64_t d = 0; d < args.head_dim; d += 16) store(out + d, load(values + d) / weights * args.value_scale);
}

template <class T>
static void attend(const AttentionArgs& args, const AttentionTask& task, const AttentionTask* next) {
  Softmax total, chunk;
  Scratch scratch;
  const int64_t dim = args.head_dim;
  alignas(64) float query_space[kAttentionRows * kAttentionMaxDim];
  const float* query[kAttentionRows];
  for (int64_t row = 0; row < task.rows; ++row) {
    const T* from = (const T*)args.query + row_offset<T>(args, task, task.first_row + row, args.query_stride);
    float* space = query_space + row * padded(dim);
    if (args.cache_element == kOwn) query[row] = as_float(from, dim, space);
    else query[row] = in_order(from, dim, space);
  }
  const Visible seen = {visible(args, task.sequence, task.first_row).begin,
                        visible(args, task.sequence, task.first_row + task.rows - 1).end};
  const int64_t last = task.last_chunk * kAttentionChunk < seen.end ? task.last_chunk * kAttentionChunk : seen.end;
  for (int64_t index = task.first_chunk; index < task.last_chunk; ++index) {
    Softmax& state = index == task.first_chunk ? total : chunk;
    reset(state, task.rows, dim);
    const int64_t end = (index + 1) * kAttentionChunk < last ? (index + 1) * kAttentionChunk : last;
    for (int64_t base = index * kAttentionChunk; base < end; base += kAttentionBlock) {
      if (base + kAttentionBlock <= seen.begin) continue;
      if (args.cache_element != kOwn) {
        attend_narrow(args, task, query, base, seen, state, scratch);
        continue;
      }
      const int64_t after = base + kAttentionBlock;
      const Ahead ahead = after < last ? Ahead{&task, after, seen.end} : first_block(args, next);
      if (task.rows < kSharedRows) attend_few<T>(args, task, query, base, seen, ahead, state, scratch);
      else attend_block<T>(args, task, query, base, seen, state, scratch);
    }
    if (index == task.first_chunk) continue;
    for (int64_t row = 0; row < task.rows; ++row)
      join(total.values + row * dim, &total.maximum[row], &total.sum[row], chunk.values + row * dim,
           chunk.maximum[row], chunk.sum[row], dim);
  }
  for (int64_t row = 0; row < task.rows; ++row) {
    const float* values = total.values + row * dim;
    if (task.partial) {
      float* partial = task.partial + row * (dim + 2);
      memcpy(partial, values, dim * sizeof(float));
      partial[dim] = total.maximum[row], partial[dim + 1] = total.sum[row];
    } else {
      write_row<T>(args, task, row, values, total.maximum[row], total.sum[row]);
    }
  }
}

// Join the chunks of a split decode in order of position: the same sums as in one task.
template <class T>
static void merge(const AttentionArgs& args, const AttentionTask& first, int64_t chunks) {
  const int64_t dim = args.head_dim, size = first.rows * (dim + 2);
  for (int64_t row = 0; row < first.rows; ++row) {
    float values[kAttentionMaxDim] = {}, maximum = -kInfinity, total = 0;
    for (int64_t index = 0; index < chunks; ++index) {
      const float* partial = first.partial + index * size + row * (dim + 2);
      join(values, &maximum, &total, partial, partial[dim], partial[dim + 1], dim);
    }
    write_row<T>(args, first, row, values, maximum, total);
  }
}

}  // namespace paddock::PADDOCK_ISA
