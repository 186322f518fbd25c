// A run of decoder layers in one call: the operations of each, one after the other, without a return to Python between.
#pragma once
#include <cstring>

#include "arguments.h"
#include "schedule.h"

namespace paddock {

struct LinearWeight {
  const void* weight;   // panels, as in LinearArgs or QuantizedArgs
  const void* bias;     // [out] or null
  const float* scales;  // as in QuantizedArgs; null for plain numbers, which have no codes
  const float* zeros;
  int64_t in_features, out_features, group, groups, bits;
};

// What stays from step to step.
struct LayerWeights {
  const void* attention_norm;  // [dim], as that of the MLP
  LinearWeight qkv;
  const void* q_norm;          // [head_dim] or null
  const void* k_norm;
  LinearWeight output;
  const void* mlp_norm;
  LinearWeight gate_up, down;
  void* key_cache;             // as in RotaryArgs
  void* value_cache;
  const float* sinks;          // as in AttentionArgs
  int64_t heads, kv_heads, head_dim, block_size, cache_stride, cache_element, window;
  alignas(8) float eps;
  alignas(8) float key_scale;
  alignas(8) float value_scale;
  alignas(8) float scale;      // of the scores, without the keys' own
  alignas(8) float softcap;
};

struct LayersArgs {
  const char* layers;        // LayerWeights, `count` of them
  const void* hidden;        // [tokens, dim], contiguous
  const void* last_norm;     // [dim], of the norm after the last layer, or null
  void* normed;              // [tokens, dim]: the result where there is a last norm
  void* out;                 // [tokens, dim]: what the last layer adds
  void* residual;            // [tokens, dim]: what it is added to; the sum where there is a last norm
  char* space;               // see `Space`
  const float* cos;          // [positions, rotary_half], of all positions that there are
  const float* sin;
  const int64_t* positions;  // [tokens]
  const int64_t* slots;      // as in RotaryArgs
  const int32_t* cu_seqlens;  // as in AttentionArgs
  const int32_t* seq_lens;
  const int32_t* block_table;
  int64_t count, tokens, dim, rotary_half, sequences, table_stride;
  alignas(8) float last_eps;
};

// The rows of a table for these positions.
inline void gather_angles(const LayersArgs& args, const float* table, float* to) {
  const int64_t half = args.rotary_half;
  for (int64_t token = 0; token < args.tokens; ++token)
    memcpy(to + token * half, table + args.positions[token] * half, half * sizeof(float));
}

// Where the results between a layer's operations lie: the attention's and the MLP's in the same place, since neither
// needs the other's. Each begins at a cache line.
class Space {
 public:
  Space(char* start, int64_t tokens, int64_t element_size)
      : next_(start), tokens_(tokens), element_size_(element_size) {}
  void* take(int64_t width) { return take(width, element_size_); }
  float* take_floats(int64_t width) { return static_cast<float*>(take(width, sizeof(float))); }

 private:
  void* take(int64_t width, int64_t size) {
    void* taken = next_;
    next_ += (tokens_ * width * size + 63) / 64 * 64;
    return taken;
  }
  char* next_;
  int64_t tokens_, element_size_;
};

inline void multiply(const Kernels& kernels, const LinearWeight& by, const void* x, int64_t rows, void* out,
                     int threads) {
  const LinearArgs linear = {x, by.weight, by.bias, out, rows, by.in_features, by.out_features, by.in_features};
  if (!by.scales) return run_linear(kernels, linear, threads);
  run_quantized(kernels, {linear, by.scales, by.zeros, by.group, by.groups, by.bits}, threads);
}

// Of args.normed; the result goes to args.out, as that of the MLP.
inline void run_self_attention(const Kernels& kernels, const LayersArgs& args, const LayerWeights& layer, Space space,
                               int threads) {
  const int64_t width = layer.heads * layer.head_dim;
  void *qkv = space.take(layer.qkv.out_features), *query = space.take(width);
  multiply(kernels, layer.qkv, args.normed, args.tokens, qkv, threads);
  run_rotary(kernels,
             {qkv, args.cos, args.sin, layer.q_norm, layer.k_norm, query, layer.key_cache, layer.value_cache,
              args.slots, args.tokens, layer.qkv.out_features, layer.heads, layer.kv_heads, layer.head_dim, args.rotary_half,
              layer.block_size, layer.cache_stride, layer.cache_element, layer.key_scale, layer.value_scale, layer.eps},
             threads);
  // Nobody reads qkv any more: what was attended to takes its place.
  run_attention(kernels,
                {query, layer.key_cache, layer.value_cache, qkv, args.cu_seqlens, args.seq_lens, args.block_table,
                 layer.sinks, args.sequences, args.table_stride, width, layer.heads, layer.kv_heads, layer.head_dim,
                 layer.block_size, layer.cache_stride, layer.window, layer.cache_element, layer.value_scale,
                 layer.scale * layer.key_scale, layer.softcap},
                threads);
  multiply(kernels, layer.output, qkv, args.tokens, args.out, threads);
}

inline void run_mlp(const Kernels& kernels, const LayersArgs& args, const LayerWeights& layer, Space space,
                    int threads) {
  const int64_t width = layer.down.in_features;
  void *gate_up = space.take(2 * width), *gated = space.take(width);
  multiply(kernels, layer.gate_up, args.normed, args.tokens, gate_up, threads);
  run_gate(kernels, {gate_up, gated, args.tokens, width}, threads);
  multiply(kernels, layer.down, gated, args.tokens, args.out, threads);
}

inline void run_layers(const Kernels& kernels, LayersArgs args, int threads) {
  Space space(args.space, args.tokens, kernels.element_size);
  float *cos = space.take_floats(args.rotary_half), *sin = space.take_floats(args.rotary_half);
  gather_angles(args, args.cos, cos), gather_angles(args, args.sin, sin);
  args.cos = cos, args.sin = sin;
  const void *x = args.hidden, *residual = nullptr;
  const auto norm = [&](const void* weight, float eps) {
    run_norm(kernels, {x, residual, weight, args.normed, args.residual, args.tokens, args.dim, args.dim, eps}, threads);
    // The first norm has nothing to add, and its input is the residual of the second.
    residual = residual ? args.residual : args.hidden;
    x = args.out;
  };
  const LayerWeights* layer = reinterpret_cast<const LayerWeights*>(args.layers);
  for (const LayerWeights* end = layer + args.count; layer < end; ++layer) {
    norm(layer->attention_norm, layer->eps);
    run_self_attention(kernels, args, *layer, space, threads);
    norm(layer->mlp_norm, layer->eps);
    run_mlp(kernels, args, *layer, space, threads);
  }
  if (args.last_norm) norm(args.last_norm, args.last_eps);
}

}  // namespace paddock
