// What the kernels are told. Strides count elements; pointers are of the table's element type.
#pragma once
#include <cstdint>

namespace paddock {

struct LinearArgs {
  const void* x;         // [rows, in], row stride x_stride; float32 by the time that a kernel sees it
  const void* weight;    // panels of kPanel outputs, see linear.h
  const void* bias;      // [out] or null
  void* out;             // [rows, out], contiguous
  int64_t rows, in_features, out_features, x_stride;
};

struct PackArgs {
  const void* weight;    // [out, in], contiguous
  void* packed;          // panels of kPanel outputs, see linear.h
  int64_t in_features, out_features;
};

struct LookupArgs {
  const void* packed;      // panels of kPanel outputs, see linear.h
  const int64_t* indices;  // [rows], each the number of an output
  void* out;               // [rows, in]: the outputs' weights
  int64_t rows, in_features;
};

struct QuantizedArgs {
  LinearArgs linear;     // the weight: panels of codes, see linear_quantized.h
  const float* scales;   // [panels, groups, kPanel]
  const float* zeros;    // as scales, or null: the code that stands for zero
  int64_t group, groups;  // k that share a scale (a multiple of 4), and how many such runs there are
  int64_t bits;          // of a code: 4 or 8
};

// With what is computed once for all tasks.
struct QuantizedStep : QuantizedArgs {
  float* x_sums;         // [rows, slices], or null without zeros
  int64_t slices;
};

struct QuantizedLookupArgs {
  const void* packed;      // panels of codes, scales and zeros as in QuantizedArgs
  const float* scales;
  const float* zeros;
  const int64_t* indices;  // [rows], each the number of an output
  void* out;               // [rows, in]: the outputs' weights, as plain numbers
  int64_t rows, in_features, group, groups, bits;
};

struct NormArgs {
  const void* x;         // [rows, dim], row stride x_stride
  const void* residual;  // [rows, dim] contiguous, or null
  const void* weight;    // [dim]
  void* out;             // [rows, dim]
  void* total;           // [rows, dim]: x + residual, when residual is given
  int64_t rows, dim, x_stride;
  float eps;
};

struct GateArgs {
  const void* x;         // [rows, 2 * dim], contiguous
  void* out;             // [rows, dim]
  int64_t rows, dim;
};

constexpr int64_t kOwn = 0, kBfloat16 = 1, kE4M3 = 2, kE5M2 = 3;  // element types of a cache; kOwn is the query's

constexpr int64_t cache_bytes(int64_t element, int64_t own) { return element == kOwn ? own : element == kBfloat16 ? 2 : 1; }

struct RotaryArgs {
  const void* qkv;       // [tokens, (heads + 2 * kv_heads) * head_dim], row stride qkv_stride
  const float* cos;      // [tokens, rotary_dim / 2]
  const float* sin;
  const void* q_norm;    // [head_dim] or null
  const void* k_norm;
  void* query;           // [tokens, heads, head_dim]
  void* key_cache;       // [blocks, kv_heads, block_size, head_dim], block stride cache_stride
  void* value_cache;
  const int64_t* slots;  // [tokens], -1 to skip
  int64_t tokens, qkv_stride, heads, kv_heads, head_dim, rotary_half, block_size, cache_stride;
  int64_t cache_element;     // kOwn or how the cache holds keys / key_scale and values / value_scale
  alignas(8) float key_scale;
  alignas(8) float value_scale;
  alignas(8) float eps;
};

struct AttentionArgs {
  const void* query;         // [tokens, heads, head_dim], token stride query_stride
  const void* key_cache;     // [blocks, kv_heads, block_size, head_dim], block stride cache_stride
  const void* value_cache;
  void* out;                 // [tokens, heads, head_dim], contiguous
  const int32_t* cu_seqlens;
  const int32_t* seq_lens;
  const int32_t* block_table;  // [sequences, table_stride]
  const float* sinks;        // [heads] or null: a score for each head that takes weight and has no value
  int64_t sequences, table_stride, query_stride, heads, kv_heads, head_dim, block_size, cache_stride;
  int64_t window;            // 0 for none
  int64_t cache_element;     // as in RotaryArgs; the keys' scale is in `scale`
  alignas(8) float value_scale;
  alignas(8) float scale;
  alignas(8) float softcap;  // 0 for none
};

// A run of (token, group head) rows of one sequence and KV head, over a range of KV chunks.
struct AttentionTask {
  int64_t sequence, kv_head, first_row, rows, first_chunk, last_chunk;
  float* partial;  // [rows, head_dim + 2] for (values, maximum, sum), or null to write the result
};

constexpr int64_t kPanel = 32;             // outputs that lie side by side in a packed weight
constexpr int64_t kDepth = 256;            // products in one sum: short sums are more exact, and so many widened k of a
                                           // panel stay in the first-level cache
constexpr int64_t kLinearRows = 128;       // most rows in a task of a linear layer: they stay in the second-level cache

constexpr int64_t kAttentionRows = 32;     // most rows in a task
constexpr int64_t kAttentionBlock = 64;    // positions that share one softmax update
constexpr int64_t kAttentionChunk = 512;   // positions that one task of a split decode covers
constexpr int64_t kAttentionMaxDim = 640;  // some 0.6 MB of a thread's stack; latent attention has 576

struct Kernels {
  int64_t element_size;
  void (*linear)(const LinearArgs&, int64_t row0, int64_t row1, int64_t out0, int64_t out1);
  void (*widen_rows)(const void* x, int64_t x_stride, int64_t dim, int64_t rows, float* out, int64_t out_stride);
  void (*pack_panel)(const PackArgs&, int64_t out0);
  void (*lookup)(const LookupArgs&, int64_t row0, int64_t row1);
  void (*linear_quantized)(const QuantizedStep&, int64_t row0, int64_t row1, int64_t out0, int64_t out1);
  void (*sum_slices)(const QuantizedStep&, int64_t row0, int64_t row1);
  void (*lookup_quantized)(const QuantizedLookupArgs&, int64_t row0, int64_t row1);
  void (*norm)(const NormArgs&, int64_t row0, int64_t row1);
  void (*gate)(const GateArgs&, int64_t row0, int64_t row1);
  void (*rotary)(const RotaryArgs&, int64_t token0, int64_t token1);
  void (*attend)(const AttentionArgs&, const AttentionTask&, const AttentionTask* next);
  void (*merge)(const AttentionArgs&, const AttentionTask& first, int64_t chunks);
};

struct KernelSet {
  const char* name;
  Kernels float32, bfloat16;
};

}  // namespace paddock
