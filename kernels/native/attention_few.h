// Attention of few rows over one block of positions: decodes. Keys and values are read once, where they lie.
#pragma once
#include <type_traits>

#include "dot.h"
#include "softmax.h"

namespace paddock::PADDOCK_ISA {

// Positions [first, last) of a block, side by side in the cache; `key` and `value` are of the first, and `next_key`
// and `next_value` of the run that is read in its place after this block, or null.
template <class T>
struct Run {
  const T *key, *value;
  int64_t first, last;
  const T *next_key, *next_value;
};

template <class T>
PADDOCK_INLINE int64_t block_runs(const AttentionArgs& args, const AttentionTask& task, int64_t base, int64_t first,
                                  int64_t last, Run<T>* runs) {
  int64_t index = (base + first) / args.block_size, in_block = (base + first) % args.block_size, count = 0;
  for (int64_t j = first; j < last; ++index, in_block = 0, ++count) {
    const int64_t left = args.block_size - in_block, end = last - j < left ? last : j + left;
    const int64_t place = in_block * args.head_dim;
    runs[count] = {cache_block<T>(args, args.key_cache, task, index) + place,
                   cache_block<T>(args, args.value_cache, task, index) + place, j, end, nullptr, nullptr};
    j = end;
  }
  return count;
}

// A block that is read after this one. Cache blocks are scattered, so the processor's own prefetching starts anew in
// each. Each step over a row fetches the same row of the next block: all at once, the fetches would wait for each other.
struct Ahead {
  const AttentionTask* task;  // null at the end
  int64_t base, end;
};

PADDOCK_INLINE Ahead first_block(const AttentionArgs& args, const AttentionTask* task) {
  if (!task || task->rows >= kSharedRows) return {nullptr, 0, 0};
  const Visible seen = visible(args, task->sequence, task->first_row + task->rows - 1);
  const int64_t start = task->first_chunk * kAttentionChunk, seen_from = seen.begin / kAttentionBlock * kAttentionBlock;
  return {task, start > seen_from ? start : seen_from, seen.end};
}

template <class T>
PADDOCK_INLINE void prefetch(const T* from, int64_t size) {
  for (int64_t d = 0; d < size; d += 64 / sizeof(T)) __builtin_prefetch(from + d, 0, 2);
}

// Say for each run which one comes after it; what the next block has beyond these is fetched now.
template <class T>
PADDOCK_INLINE void look_ahead(const AttentionArgs& args, const Ahead& ahead, Run<T>* runs, int64_t count) {
  if (!ahead.task) return;
  Run<T> next[kAttentionBlock];
  const int64_t left = ahead.end - ahead.base;
  const int64_t next_count =
      block_runs(args, *ahead.task, ahead.base, 0, left < kAttentionBlock ? left : kAttentionBlock, next);
  for (int64_t i = 0; i < count && i < next_count; ++i)
    runs[i].next_key = next[i].key, runs[i].next_value = next[i].value;
  for (int64_t i = count; i < next_count; ++i) {
    const int64_t size = (next[i].last - next[i].first) * args.head_dim;
    prefetch(next[i].key, size), prefetch(next[i].value, size);
  }
}

// scores[m][n] for M rows and N neighbouring keys.
template <int M, int N, class T>
PADDOCK_INLINE void score_keys(const float* const* query, const T* keys, int64_t dim, float scale, float* scores) {
  const T* key[N];
  f32x16 acc[M * N];
  for (int n = 0; n < N; ++n) key[n] = keys + n * dim;
  clear<M * N>(acc);
  accumulate<M, N>(query, key, dim, acc);
  alignas(64) float tile[16];
  sums<M * N>(acc, tile);
  store(tile, load(tile) * scale);
  for (int m = 0; m < M; ++m) memcpy(scores + m * kAttentionBlock, tile + m * N, N * sizeof(float));
}

template <int M, class T>
PADDOCK_INLINE void score_runs(const float* const* query, const Run<T>* runs, int64_t count, int64_t dim, float scale,
                               float* scores) {
  constexpr int N = (PADDOCK_WIDE ? 16 : 4) / M;  // one sum to a register
  for (int64_t i = 0; i < count; ++i) {
    const Run<T>& run = runs[i];
    int64_t j = run.first;
    for (; j + N <= run.last; j += N) {
      if (run.next_key) prefetch(run.next_key + (j - run.first) * dim, N * dim);
      score_keys<M, N>(query, run.key + (j - run.first) * dim, dim, scale, scores + j);
    }
    for (; j < run.last; ++j) score_keys<M, 1>(query, run.key + (j - run.first) * dim, dim, scale, scores + j);
  }
}

// values[m][d] = values[m][d] * rescale[m] + sum over j of weight[m][j] * value[j][d], for V vectors from d on.
template <int M, int V, class T>
PADDOCK_INLINE void weigh_vectors(const Run<T>* runs, int64_t count, int64_t d, int64_t dim, const float* weights,
                                  const float* rescale, float* values) {
  f32x16 acc[M][V];
  for (int m = 0; m < M; ++m)
    for (int v = 0; v < V; ++v) acc[m][v] = load(values + m * dim + d + 16 * v) * rescale[m];
  for (int64_t i = 0; i < count; ++i) {
    const T* value = runs[i].value + d;
    const int64_t ahead = runs[i].next_value ? runs[i].next_value - runs[i].value : 0;
    for (int64_t j = runs[i].first; j < runs[i].last; ++j, value += dim) {
      if (ahead) prefetch(value + ahead, 16 * V);
      f32x16 row[V];
      for (int v = 0; v < V; ++v) row[v] = load(value + 16 * v);
      for (int m = 0; m < M; ++m) {
        const f32x16 weight = splat(weights[m * kAttentionBlock + j]);
        for (int v = 0; v < V; ++v) acc[m][v] += row[v] * weight;
      }
    }
  }
  for (int m = 0; m < M; ++m)
    for (int v = 0; v < V; ++v) store(values + m * dim + d + 16 * v, acc[m][v]);
}

template <int M, class T>
PADDOCK_INLINE void weigh_runs(const Run<T>* runs, int64_t count, int64_t dim, const float* weights,
                               const float* rescale, float* values) {
  int64_t d = 0;
  for (; d + 64 <= dim; d += 64) weigh_vectors<M, 4>(runs, count, d, dim, weights, rescale, values);
  for (; d + 32 <= dim; d += 32) weigh_vectors<M, 2>(runs, count, d, dim, weights, rescale, values);
  for (; d < dim; d += 16) weigh_vectors<M, 1>(runs, count, d, dim, weights, rescale, values);
}

// Calls body(rows as a constant, first row) for groups of 4, 2 and 1.
template <class Body>
PADDOCK_INLINE void row_groups(int64_t rows, const Body& body) {
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4) body(std::integral_constant<int, 4>(), row);
  if (row + 2 <= rows) body(std::integral_constant<int, 2>(), row), row += 2;
  if (row < rows) body(std::integral_constant<int, 1>(), row);
}

// `DIM` is the head's size where it is a usual one: loops over it are then unrolled. 0 for any other.
template <class T, int DIM>
static void few_rows(const AttentionArgs& args, const AttentionTask& task, const float* const* query, int64_t base,
                     Visible seen, const Ahead& ahead, Softmax& state, Scratch& scratch) {
  const int64_t dim = DIM ? DIM : args.head_dim;
  const int64_t first = seen.begin > base ? seen.begin - base : 0;
  const int64_t last = seen.end - base < kAttentionBlock ? seen.end - base : kAttentionBlock;
  Run<T> runs[kAttentionBlock];
  const int64_t count = block_runs(args, task, base, first, last, runs);
  look_ahead(args, ahead, runs, count);
  row_groups(task.rows, [&](auto rows, int64_t row) __attribute__((always_inline)) {
    score_runs<rows()>(query + row, runs, count, dim, args.scale, scratch.scores + row * kAttentionBlock);
  });
  soften_rows(args, task, base, state, scratch);
  row_groups(task.rows, [&](auto rows, int64_t row) __attribute__((always_inline)) {
    weigh_runs<rows()>(runs, count, dim, scratch.scores + row * kAttentionBlock, scratch.rescale + row,
                       state.values + row * dim);
  });
}

template <class T>
PADDOCK_INLINE void attend_few(const AttentionArgs& args, const AttentionTask& task, const float* const* query,
                               int64_t base, Visible seen, const Ahead& ahead, Softmax& state, Scratch& scratch) {
  const auto run = args.head_dim == 32    ? few_rows<T, 32>
                   : args.head_dim == 64  ? few_rows<T, 64>
                   : args.head_dim == 128 ? few_rows<T, 128>
                                          : few_rows<T, 0>;
  run(args, task, query, base, seen, ahead, state, scratch);
}

}  // namespace paddock::PADDOCK_ISA
