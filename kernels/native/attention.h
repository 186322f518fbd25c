// Paged attention by blocks of 64 positions with a running softmax (Milakov and Gimelshein 2018; Dao 2022).
// Blocks and chunks start at fixed positions of the sequence, and a masked position adds an exact zero, so a row's
// result is the same bits as a decode, inside any prompt chunk, and in any batch.
#pragma once
#include "arguments.h"
#include "dot.h"

namespace paddock::PADDOCK_ISA {

struct Softmax {
  float maximum[kAttentionRows];
  float sum[kAttentionRows];
  float values[kAttentionRows * kAttentionMaxDim];
};

struct Visible {
  int64_t begin, end;
};

struct Scratch {
  float scores[kAttentionRows * kAttentionBlock];
  float rescale[kAttentionRows];
  float wide[kAttentionBlock * kAttentionMaxDim];
};

// From this many rows on, keys and values are converted to float32 once for all of them.
constexpr int64_t kSharedRows = 8;

// The positions that a task's row sees; `row` counts (token, group head) pairs from the sequence's first token.
PADDOCK_INLINE Visible visible(const AttentionArgs& args, int64_t sequence, int64_t row) {
  const int64_t queries = args.cu_seqlens[sequence + 1] - args.cu_seqlens[sequence];
  const int64_t end = args.seq_lens[sequence] - queries + row / (args.heads / args.kv_heads) + 1;
  return {args.window > 0 && end > args.window ? end - args.window : 0, end};
}

template <class T>
PADDOCK_INLINE const T* cache_block(const AttentionArgs& args, const void* cache, const AttentionTask& task,
                                    int64_t index) {
  const int64_t block = args.block_table[task.sequence * args.table_stride + index];
  return (const T*)cache + block * args.cache_stride + task.kv_head * args.block_size * args.head_dim;
}

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

template <class T>
PADDOCK_INLINE int64_t row_offset(const AttentionArgs& args, const AttentionTask& task, int64_t row,
                                  int64_t token_stride) {
  const int64_t group = args.heads / args.kv_heads;
  const int64_t token = args.cu_seqlens[task.sequence] + row / group;
  return token * token_stride + (task.kv_head * group + row % group) * args.head_dim;
}

template <int M, int N, class T>
PADDOCK_INLINE void score_tile(const float* const* query, const T* const* key, int64_t dim, float scale,
                               float* scores) {
  f32x16 acc[M * N] = {};
  accumulate<M, N>(query, key, dim, acc);
  float tile[(M * N + 15) / 16 * 16];
  sums<M * N>(acc, tile);
  for (int m = 0; m < M; ++m)
    for (int n = 0; n < N; ++n) scores[m * kAttentionBlock + n] = tile[m * N + n] * scale;
}

template <int N, class T>
PADDOCK_INLINE void score_panel(const float* const* query, int64_t rows, const T* const* key, int64_t dim,
                                float scale, float* scores) {
  int64_t row = 0;
  for (; row + kTileM <= rows; row += kTileM)
    score_tile<kTileM, N>(query + row, key, dim, scale, scores + row * kAttentionBlock);
  for (; row < rows; ++row) score_tile<1, N>(query + row, key, dim, scale, scores + row * kAttentionBlock);
}

// scores[row][j] for the positions j of [first, last) in the block; nothing outside is read.
template <class T>
PADDOCK_INLINE void score_block(const float* const* query, int64_t rows, const T* const* key, int64_t dim,
                                float scale, int64_t first, int64_t last, float* scores) {
  constexpr int narrow = kTileNarrow;
  int64_t j = first;
  if (rows == 1)
    for (; j + narrow <= last; j += narrow) score_tile<1, narrow>(query, key + j, dim, scale, scores + j);
  if (rows == 2)
    for (; j + narrow <= last; j += narrow) score_tile<2, narrow>(query, key + j, dim, scale, scores + j);
  for (; j + kTileN <= last; j += kTileN) score_panel<kTileN>(query, rows, key + j, dim, scale, scores + j);
  for (; j < last; ++j) score_panel<1>(query, rows, key + j, dim, scale, scores + j);
}

// The same with the keys converted to float32 first.
template <class T>
PADDOCK_INLINE void score_shared(const float* const* query, int64_t rows, const T* const* key, int64_t dim,
                                 float scale, int64_t first, int64_t last, Scratch& scratch) {
  const float* wide[kAttentionBlock];
  for (int64_t j = first; j < last; ++j) wide[j] = as_float(key[j], dim, scratch.wide + j * padded(dim));
  score_block(query, rows, wide, float_dim<T>(dim), scale, first, last, scratch.scores);
}

// Turn a row's scores into weights and update its running maximum and sum; returns the old values' factor.
PADDOCK_INLINE float soften(float* scores, int64_t first, int64_t last, float* maximum, float* sum_of_weights) {
  for (int64_t j = 0; j < first; ++j) scores[j] = -kInfinity;
  for (int64_t j = last; j < kAttentionBlock; ++j) scores[j] = -kInfinity;
  f32x16 s[kAttentionBlock / 16];
  for (int i = 0; i < kAttentionBlock / 16; ++i) s[i] = load(scores + 16 * i);
  const float block_maximum = max_lane(max(max(s[0], s[1]), max(s[2], s[3])));
  const float next = block_maximum > *maximum ? block_maximum : *maximum;
  if (next == -kInfinity) {  // the row sees nothing yet
    memset(scores, 0, kAttentionBlock * sizeof(float));
    return 1.0f;
  }
  f32x16 total = {};
  for (int i = 0; i < kAttentionBlock / 16; ++i) {
    s[i] = exp(s[i] - next);
    store(scores + 16 * i, s[i]);
    total += s[i];
  }
  const float factor = exp(splat(*maximum - next))[0];
  *sum_of_weights = *sum_of_weights * factor + sum(total);
  *maximum = next;
  return factor;
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
  for (; d < dim; d += 16) weigh_tile<T, R, 1>(value, d, weights, rescale, first, last, dim, values);
}

template <class T>
PADDOCK_INLINE void weigh_block(const T* const* value, int64_t rows, const float* weights, const float* rescale,
                                int64_t first, int64_t last, int64_t dim, float* values) {
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4)
    weigh_rows<T, 4>(value, weights + row * kAttentionBlock, rescale + row, first, last, dim, values + row * dim);
  for (; row + 2 <= rows; row += 2)
    weigh_rows<T, 2>(value, weights + row * kAttentionBlock, rescale + row, first, last, dim, values + row * dim);
  if (row < rows)
    weigh_rows<T, 1>(value, weights + row * kAttentionBlock, rescale + row, first, last, dim, values + row * dim);
}

template <class T>
PADDOCK_INLINE void weigh_shared(const T* const* value, int64_t rows, int64_t first, int64_t last, int64_t dim,
                                 Scratch& scratch, float* values) {
  const float* wide[kAttentionBlock];
  for (int64_t j = first; j < last; ++j) {
    wide[j] = scratch.wide + j * dim;
    for (int64_t d = 0; d < dim; d += 16) store(scratch.wide + j * dim + d, load(value[j] + d));
  }
  weigh_block(wide, rows, scratch.scores, scratch.rescale, first, last, dim, values);
}

// Blocks are scattered, so the processor's own prefetching starts anew in each.
template <class T>
PADDOCK_INLINE void prefetch(const T* const* rows, int64_t first, int64_t last, int64_t dim) {
  for (int64_t j = first; j < last; ++j)
    for (int64_t d = 0; d < dim; d += 64 / sizeof(T)) __builtin_prefetch(rows[j] + d);
}

template <class T>
PADDOCK_INLINE void prefetch_keys(const AttentionArgs& args, const AttentionTask& task, int64_t base, int64_t end) {
  const T* key[kAttentionBlock];
  const int64_t count = end - base < kAttentionBlock ? end - base : kAttentionBlock;
  cache_rows(args, args.key_cache, task, base, 0, count, key);
  prefetch(key, 0, count, args.head_dim);
}

template <class T>
PADDOCK_INLINE void attend_block(const AttentionArgs& args, const AttentionTask& task, const float* const* query,
                                 int64_t base, Visible seen, Softmax& state, Scratch& scratch) {
  const int64_t first = seen.begin > base ? seen.begin - base : 0;
  const int64_t last = seen.end - base < kAttentionBlock ? seen.end - base : kAttentionBlock;
  const T *key[kAttentionBlock], *value[kAttentionBlock];
  cache_rows(args, args.key_cache, task, base, first, last, key);
  cache_rows(args, args.value_cache, task, base, first, last, value);
  const int64_t dim = args.head_dim, rows = task.rows;
  if (rows < kSharedRows) prefetch(value, first, last, dim);
  if (rows >= kSharedRows) score_shared(query, rows, key, dim, args.scale, first, last, scratch);
  else score_block(query, rows, key, dim, args.scale, first, last, scratch.scores);
  for (int64_t row = 0; row < task.rows; ++row) {
    const Visible own = visible(args, task.sequence, task.first_row + row);
    const int64_t begin = own.begin > base ? own.begin - base : 0;
    const int64_t end = own.end - base < kAttentionBlock ? own.end - base : kAttentionBlock;
    scratch.rescale[row] =
        soften(scratch.scores + row * kAttentionBlock, begin < kAttentionBlock ? begin : kAttentionBlock,
               end > 0 ? end : 0, &state.maximum[row], &state.sum[row]);
  }
  if (rows < kSharedRows) prefetch_keys<T>(args, task, base + kAttentionBlock, seen.end);
  if (rows >= kSharedRows) weigh_shared(value, rows, first, last, dim, scratch, state.values);
  else weigh_block(value, rows, scratch.scores, scratch.rescale, first, last, dim, state.values);
}

PADDOCK_INLINE void reset(Softmax& state, int64_t rows, int64_t dim) {
  for (int64_t row = 0; row < rows; ++row) state.maximum[row] = -kInfinity, state.sum[row] = 0;
  memset(state.values, 0, rows * dim * sizeof(float));
}

// Join a row of a later chunk to the running total.
PADDOCK_INLINE void join(float* values, float* maximum, float* total, const float* chunk_values, float chunk_maximum,
                         float chunk_total, int64_t dim) {
  if (chunk_maximum == -kInfinity) return;
  const float next = chunk_maximum > *maximum ? chunk_maximum : *maximum;
  const float old_factor = exp(splat(*maximum - next))[0], new_factor = exp(splat(chunk_maximum - next))[0];
  for (int64_t d = 0; d < dim; d += 16)
    store(values + d, load(values + d) * old_factor + load(chunk_values + d) * new_factor);
  *total = *total * old_factor + chunk_total * new_factor;
  *maximum = next;
}

template <class T>
PADDOCK_INLINE void write_row(T* out, const float* values, float total, int64_t dim) {
  for (int64_t d = 0; d < dim; d += 16) store(out + d, load(values + d) / total);
}

template <class T>
static void attend(const AttentionArgs& args, const AttentionTask& task) {
  Softmax total, chunk;
  Scratch scratch;
  const int64_t dim = args.head_dim;
  alignas(64) float query_space[kAttentionRows * kAttentionMaxDim];
  const float* query[kAttentionRows];
  for (int64_t row = 0; row < task.rows; ++row) {
    const T* from = (const T*)args.query + row_offset<T>(args, task, task.first_row + row, args.query_stride);
    query[row] = as_float(from, dim, query_space + row * padded(dim));
  }
  const Visible seen = {visible(args, task.sequence, task.first_row).begin,
                        visible(args, task.sequence, task.first_row + task.rows - 1).end};
  reset(total, task.rows, dim);
  for (int64_t index = task.first_chunk; index < task.last_chunk; ++index) {
    reset(chunk, task.rows, dim);
    const int64_t end = (index + 1) * kAttentionChunk < seen.end ? (index + 1) * kAttentionChunk : seen.end;
    for (int64_t base = index * kAttentionChunk; base < end; base += kAttentionBlock)
      if (base + kAttentionBlock > seen.begin) attend_block<T>(args, task, query, base, seen, chunk, scratch);
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
      T* out = (T*)args.out + row_offset<T>(args, task, task.first_row + row, args.heads * dim);
      write_row(out, values, total.sum[row], dim);
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
    T* out = (T*)args.out + row_offset<T>(args, first, first.first_row + row, args.heads * dim);
    write_row(out, values, total, dim);
  }
}

}  // namespace paddock::PADDOCK_ISA
