// Row-wise operations between the matrix products: norms, gate, rotary embedding with the cache write.
#pragma once
#include <memory>

#include "arguments.h"
#include "cache_element.h"
#include "vec.h"

namespace paddock::PADDOCK_ISA {

// out = round(x / rms(x)) * weight, the rounding order of the checkpoints' authors.
template <class T>
PADDOCK_INLINE void normalize_row(const T* x, const T* weight, T* out, int64_t dim, float eps) {
  f32x16 squares = {};
  PADDOCK_FOR_LANES(i, n, dim) {
    f32x16 v = load_lanes(x + i, n);
    squares += v * v;
  }
  const float inverse = 1.0f / __builtin_sqrtf(sum(squares) / dim + eps);
  PADDOCK_FOR_LANES(i, n, dim) {
    f32x16 v = rounded_to(x, load_lanes(x + i, n) * inverse);
    store_lanes(out + i, v * load_lanes(weight + i, n), n);
  }
}

template <class T>
static void norm(const NormArgs& args, int64_t row0, int64_t row1) {
  for (int64_t row = row0; row < row1; ++row) {
    const T* x = (const T*)args.x + row * args.x_stride;
    if (args.residual) {
      const T* residual = (const T*)args.residual + row * args.dim;
      T* total = (T*)args.total + row * args.dim;
      PADDOCK_FOR_LANES(i, n, args.dim) {
        store_lanes(total + i, load_lanes(x + i, n) + load_lanes(residual + i, n), n);
      }
      x = total;
    }
    normalize_row(x, (const T*)args.weight, (T*)args.out + row * args.dim, args.dim, args.eps);
  }
}

template <class T>
static void gate(const GateArgs& args, int64_t row0, int64_t row1) {
  for (int64_t row = row0; row < row1; ++row) {
    const T* x = (const T*)args.x + row * 2 * args.dim;
    T* out = (T*)args.out + row * args.dim;
    PADDOCK_FOR_LANES(i, n, args.dim) {
      f32x16 g = load_lanes(x + i, n);
      f32x16 silu = rounded_to(x, g / (exp(-g) + 1.0f));
      store_lanes(out + i, silu * load_lanes(x + args.dim + i, n), n);
    }
  }
}

// In place: the pairs (x[i], x[i + half]) turn by the angle of position and i.
template <class T>
PADDOCK_INLINE void rotate_row(T* x, const float* cos, const float* sin, int64_t half) {
  PADDOCK_FOR_LANES(i, n, half) {
    f32x16 first = load_lanes(x + i, n), second = load_lanes(x + half + i, n);
    f32x16 c = load_lanes(cos + i, n), s = load_lanes(sin + i, n);
    store_lanes(x + i, first * c - second * s, n);
    store_lanes(x + half + i, second * c + first * s, n);
  }
}

template <class T>
PADDOCK_INLINE void head_row(const RotaryArgs& args, const T* x, const T* weight, T* out, int64_t token) {
  if (weight) normalize_row(x, weight, out, args.head_dim, args.eps);
  else memcpy(out, x, args.head_dim * sizeof(T));
  const int64_t angle = token * args.rotary_half;
  rotate_row(out, args.cos + angle, args.sin + angle, args.rotary_half);
}

// Keys and values of one token, [kv_heads * head_dim] each, to their slot; `row` is room for a head in between.
template <class T>
PADDOCK_INLINE void write_token(const RotaryArgs& args, const T* key, const T* value, int64_t token, T* row) {
  const int64_t slot = args.slots[token], dim = args.head_dim;
  if (slot < 0) return;
  const int64_t size = cache_bytes(args.cache_element, sizeof(T));
  const int64_t place = slot / args.block_size * args.cache_stride + slot % args.block_size * dim;
  for (int64_t head = 0; head < args.kv_heads; ++head) {
    const int64_t offset = (place + head * args.block_size * dim) * size;
    char *key_to = (char*)args.key_cache + offset, *value_to = (char*)args.value_cache + offset;
    if (args.cache_element == kOwn) {
      head_row(args, key + head * dim, (const T*)args.k_norm, (T*)key_to, token);
      memcpy(value_to, value + head * dim, dim * sizeof(T));
    } else {
      head_row(args, key + head * dim, (const T*)args.k_norm, row, token);
      narrow_cache_row(args.cache_element, row, dim, args.key_scale, key_to);
      narrow_cache_row(args.cache_element, value + head * dim, dim, args.value_scale, value_to);
    }
  }
}

template <class T>
static void rotary(const RotaryArgs& args, int64_t token0, int64_t token1) {
  const int64_t dim = args.head_dim;
  const std::unique_ptr<T[]> row(args.cache_element == kOwn ? nullptr : new T[dim]);
  for (int64_t token = token0; token < token1; ++token) {
    const T* query = (const T*)args.qkv + token * args.qkv_stride;
    const T* key = query + args.heads * dim;
    T* out = (T*)args.query + token * args.heads * dim;
    for (int64_t head = 0; head < args.heads; ++head)
      head_row(args, query + head * dim, (const T*)args.q_norm, out + head * dim, token);
    write_token(args, key, key + args.kv_heads * dim, token, row.get());
  }
}

}  // namespace paddock::PADDOCK_ISA
