// Mixture of experts: rows sorted by expert, one product for each expert over its rows, and the weighted sums of them.
#pragma once
#include <algorithm>
#include <memory>
#include <vector>

#include "arguments.h"
#include "number.h"

namespace paddock {

struct SortArgs {
  const int64_t* experts;  // [tokens * top_k], -1 for one that is not here
  int64_t* rows;           // [tokens * top_k]: the token of each sorted row
  int64_t* offsets;        // [groups + 1]: where each expert's rows begin
  int64_t* places;         // [tokens * top_k]: the sorted row of each choice, or -1
  int64_t tokens, top_k, groups;
};

struct GroupedArgs {
  const void* x;           // [any, in], row stride x_stride
  const int64_t* rows;     // the row of x for each sorted row, or null: they lie in this order
  const int64_t* offsets;  // as in SortArgs
  const void* weight;      // an expert's panels after another's, see linear.h
  const void* bias;        // [groups, out] or null
  void* out;               // [offsets[groups], out]
  int64_t groups, in_features, out_features, x_stride;
};

struct CombineArgs {
  const void* results;    // [sorted rows, dim]
  const int64_t* places;  // as in SortArgs
  const float* weights;   // [tokens, top_k]
  void* out;              // [tokens, dim]
  int64_t tokens, top_k, dim;
};

constexpr int64_t kSmallProducts = 1 << 19;  // below this many multiply-adds a parallel region costs more than it saves

// By counting: rows of one expert stay in the order of their tokens.
inline void run_sort(const Kernels&, const SortArgs& args, int) {
  const int64_t choices = args.tokens * args.top_k;
  std::fill(args.offsets, args.offsets + args.groups + 1, 0);
  for (int64_t i = 0; i < choices; ++i)
    if (args.experts[i] >= 0) ++args.offsets[args.experts[i] + 1];
  for (int64_t group = 0; group < args.groups; ++group) args.offsets[group + 1] += args.offsets[group];
  std::vector<int64_t> next(args.offsets, args.offsets + args.groups);
  for (int64_t i = 0; i < choices; ++i) {
    args.places[i] = args.experts[i] < 0 ? -1 : next[args.experts[i]]++;
    if (args.places[i] >= 0) args.rows[args.places[i]] = i / args.top_k;
  }
}

struct ExpertTask {
  int64_t group, row0, row1, out0, out1;  // rows count from the group's first
};

// A piece of one expert's outputs for some of its rows. Small pieces even out threads that are held up.
inline std::vector<ExpertTask> expert_tasks(const GroupedArgs& args) {
  constexpr int64_t kOuts = 4 * kPanel;
  std::vector<ExpertTask> tasks;
  for (int64_t group = 0; group < args.groups; ++group) {
    const int64_t rows = args.offsets[group + 1] - args.offsets[group];
    for (int64_t row = 0; row < rows; row += kLinearRows)
      for (int64_t out = 0; out < args.out_features; out += kOuts)
        tasks.push_back({group, row, std::min(row + kLinearRows, rows), out, std::min(out + kOuts, args.out_features)});
  }
  return tasks;
}

inline void run_grouped(const Kernels& kernels, const GroupedArgs& args, int threads) {
  const int64_t size = kernels.element_size, total = args.offsets[args.groups];
  // A stride that is a power of two would put the rows in one cache set.
  const int64_t stride = (args.in_features + 15) / 16 * 16 + 16;
  const int64_t panels = (args.out_features + kPanel - 1) / kPanel * kPanel;
  const bool serial = threads <= 1 || total * args.in_features * args.out_features < kSmallProducts;
  const std::vector<ExpertTask> tasks = expert_tasks(args);
  const int64_t num_tasks = tasks.size();
  std::unique_ptr<float[]> wide(new float[total * stride]);
#pragma omp parallel num_threads(threads) if (!serial)
  {
#pragma omp for schedule(static)
    for (int64_t row = 0; row < total; ++row) {
      const char* from = static_cast<const char*>(args.x) + (args.rows ? args.rows[row] : row) * args.x_stride * size;
      kernels.widen_rows(from, args.x_stride, args.in_features, 1, wide.get() + row * stride, stride);
    }
#pragma omp for schedule(dynamic)
    for (int64_t index = 0; index < num_tasks; ++index) {
      const ExpertTask& task = tasks[index];
      const int64_t first = args.offsets[task.group];
      LinearArgs linear = {};
      linear.x = wide.get() + first * stride, linear.x_stride = stride;
      linear.weight = static_cast<const char*>(args.weight) + task.group * panels * args.in_features * size;
      if (args.bias) linear.bias = static_cast<const char*>(args.bias) + task.group * args.out_features * size;
      linear.out = static_cast<char*>(args.out) + first * args.out_features * size;
      linear.rows = args.offsets[task.group + 1] - first;
      linear.in_features = args.in_features, linear.out_features = args.out_features;
      kernels.linear(linear, task.row0, task.row1, task.out0, task.out1);
    }
  }
}

// A token's results are added in the order of its choices, whatever the batch.
template <class T>
void combine(const CombineArgs& args, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (args.tokens * args.top_k * args.dim > kSmallProducts)
  for (int64_t token = 0; token < args.tokens; ++token) {
    constexpr int64_t kBlock = 1024;
    alignas(64) float sums[kBlock];
    for (int64_t start = 0; start < args.dim; start += kBlock) {
      const int64_t length = std::min(kBlock, args.dim - start);
      std::fill(sums, sums + length, 0.f);
      for (int64_t choice = token * args.top_k; choice < (token + 1) * args.top_k; ++choice) {
        if (args.places[choice] < 0) continue;
        const T* from = static_cast<const T*>(args.results) + args.places[choice] * args.dim + start;
        const float weight = args.weights[choice];
        for (int64_t i = 0; i < length; ++i) sums[i] += weight * widened(from[i]);
      }
      T* to = static_cast<T*>(args.out) + token * args.dim + start;
      for (int64_t i = 0; i < length; ++i) narrow(sums[i], to[i]);
    }
  }
}

inline void run_combine(const Kernels& kernels, const CombineArgs& args, int threads) {
  if (kernels.element_size == sizeof(float)) combine<float>(args, threads);
  else combine<Bfloat16>(args, threads);
}

}  // namespace paddock
