// A row's running softmax over blocks of positions (Milakov and Gimelshein 2018), and where a task's data lies.
#pragma once
#include "arguments.h"
#include "vec.h"

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
  float by_dim[kAttentionBlock * kAttentionMaxDim];
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

template <class T>
PADDOCK_INLINE int64_t row_offset(const AttentionArgs& args, const AttentionTask& task, int64_t row,
                                  int64_t token_stride) {
  const int64_t group = args.heads / args.kv_heads;
  const int64_t token = args.cu_seqlens[task.sequence] + row / group;
  return token * token_stride + (task.kv_head * group + row % group) * args.head_dim;
}

// Scores within softcap * (-1, 1); those that the mask has hidden stay so.
PADDOCK_INLINE void cap(f32x16* scores, float softcap) {
  const float inverse = 1.0f / softcap;
  for (int i = 0; i < kAttentionBlock / 16; ++i)
    scores[i] = select(scores[i] == -kInfinity, scores[i], tanh(scores[i] * inverse) * softcap);
}

// Turn a row's scores into weights and update its running maximum and sum; returns the old values' factor.
PADDOCK_INLINE float soften(float* scores, int64_t first, int64_t last, float softcap, float* maximum,
                            float* sum_of_weights) {
  const i32x16 lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  f32x16 s[kAttentionBlock / 16];
  for (int i = 0; i < kAttentionBlock / 16; ++i) {
    const i32x16 place = lanes + 16 * i;
    s[i] = select((place >= (int32_t)first) & (place < (int32_t)last), load(scores + 16 * i), splat(-kInfinity));
  }
  if (softcap > 0) cap(s, softcap);
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

PADDOCK_INLINE void soften_rows(const AttentionArgs& args, const AttentionTask& task, int64_t base, Softmax& state,
                                Scratch& scratch) {
  for (int64_t row = 0; row < task.rows; ++row) {
    const Visible own = visible(args, task.sequence, task.first_row + row);
    const int64_t begin = own.begin > base ? own.begin - base : 0;
    const int64_t end = own.end - base < kAttentionBlock ? own.end - base : kAttentionBlock;
    scratch.rescale[row] =
        soften(scratch.scores + row * kAttentionBlock, begin < kAttentionBlock ? begin : kAttentionBlock,
               end > 0 ? end : 0, args.softcap, &state.maximum[row], &state.sum[row]);
  }
}

PADDOCK_INLINE void reset(Softmax& state, int64_t rows, int64_t dim) {
  for (int64_t row = 0; row < rows; ++row) state.maximum[row] = -kInfinity, state.sum[row] = 0;
  for (int64_t i = 0; i < rows * dim; i += 16) store(state.values + i, f32x16{});
}

// What a row's values are divided by: the sum of its weights, its head's sink among them.
PADDOCK_INLINE float divisor(const AttentionArgs& args, const AttentionTask& task, int64_t row, float maximum,
                             float sum_of_weights) {
  if (!args.sinks) return sum_of_weights;
  const int64_t group = args.heads / args.kv_heads, head = task.kv_head * group + (task.first_row + row) % group;
  return sum_of_weights + exp(splat(args.sinks[head] - maximum))[0];
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

}  // namespace paddock::PADDOCK_ISA
