#include "schedule.h"

#include <algorithm>
#include <memory>
#include <vector>

namespace paddock {

// Below this many multiply-adds or elements a parallel region costs more than it saves.
constexpr int64_t kSerialProducts = 1 << 19;
constexpr int64_t kSerialElements = 1 << 14;

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Calls body(first, last) over equal ranges of rows.
template <class Body>
static void run_rows(int64_t rows, int64_t elements, int threads, const Body& body) {
  const int64_t parts = elements < kSerialElements ? 1 : std::min<int64_t>(threads, rows);
  if (parts <= 1) return body(0, rows);
#pragma omp parallel for schedule(static, 1) num_threads(threads)
  for (int64_t part = 0; part < parts; ++part) body(rows * part / parts, rows * (part + 1) / parts);
}

// The rows of x as float32, once for all tasks. A stride that is a power of two would put them in one cache set.
static std::unique_ptr<float[]> widen_input(const Kernels& kernels, LinearArgs& args, int threads) {
  const int64_t stride = ceil_div(args.in_features, 16) * 16 + 16;
  std::unique_ptr<float[]> wide(new float[args.rows * stride]);
  run_rows(args.rows, args.rows * stride, threads, [&](int64_t first, int64_t last) {
    const char* from = static_cast<const char*>(args.x) + first * args.x_stride * kernels.element_size;
    kernels.widen_rows(from, args.x_stride, args.in_features, last - first, wide.get() + first * stride, stride);
  });
  args.x = wide.get(), args.x_stride = stride;
  return wide;
}

// Calls body(row0, row1, out0, out1) over tiles of a linear layer's output.
template <class Body>
static void run_tiles(const LinearArgs& args, int threads, const Body& body) {
  const bool serial = threads <= 1 || args.rows * args.in_features * args.out_features < kSerialProducts;
  const int64_t row_blocks = ceil_div(args.rows, kLinearRows);
  // Small tasks even out threads that are held up; four panels at a time keep the widest tiles whole.
  const int64_t parts = serial ? 1 : threads * 8;
  const int64_t out_step = ceil_div(ceil_div(args.out_features * row_blocks, parts), 4 * kPanel) * 4 * kPanel;
  const int64_t out_blocks = ceil_div(args.out_features, out_step);
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (!serial)
  for (int64_t task = 0; task < row_blocks * out_blocks; ++task) {
    const int64_t row = task / out_blocks * kLinearRows, out = task % out_blocks * out_step;
    body(row, std::min(row + kLinearRows, args.rows), out, std::min(out + out_step, args.out_features));
  }
}

void run_linear(const Kernels& kernels, LinearArgs args, int threads) {
  if (args.rows == 0 || args.out_features == 0) return;
  std::unique_ptr<float[]> wide;
  if (kernels.element_size != sizeof(float)) wide = widen_input(kernels, args, threads);
  run_tiles(args, threads, [&](int64_t row0, int64_t row1, int64_t out0, int64_t out1) {
    kernels.linear(args, row0, row1, out0, out1);
  });
}

void run_quantized(const Kernels& kernels, const QuantizedArgs& args, int threads) {
  QuantizedStep step = {args, nullptr, args.groups * ceil_div(args.group, kDepth)};
  LinearArgs& linear = step.linear;
  if (linear.rows == 0 || linear.out_features == 0) return;
  std::unique_ptr<float[]> wide, x_sums;
  if (kernels.element_size != sizeof(float)) wide = widen_input(kernels, linear, threads);
  if (step.zeros) {
    x_sums.reset(new float[linear.rows * step.slices]);
    step.x_sums = x_sums.get();
    run_rows(linear.rows, linear.rows * linear.in_features, threads,
             [&](int64_t first, int64_t last) { kernels.sum_slices(step, first, last); });
  }
  run_tiles(linear, threads, [&](int64_t row0, int64_t row1, int64_t out0, int64_t out1) {
    kernels.linear_quantized(step, row0, row1, out0, out1);
  });
}

void run_quantized_lookup(const Kernels& kernels, const QuantizedLookupArgs& args, int threads) {
  run_rows(args.rows, args.rows * args.in_features, threads,
           [&](int64_t first, int64_t last) { kernels.lookup_quantized(args, first, last); });
}

void run_pack(const Kernels& kernels, const PackArgs& args, int threads) {
  const int64_t panels = ceil_div(args.out_features, kPanel);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t panel = 0; panel < panels; ++panel) kernels.pack_panel(args, panel * kPanel);
}

void run_lookup(const Kernels& kernels, const LookupArgs& args, int threads) {
  run_rows(args.rows, args.rows * args.in_features, threads,
           [&](int64_t first, int64_t last) { kernels.lookup(args, first, last); });
}

void run_norm(const Kernels& kernels, const NormArgs& args, int threads) {
  run_rows(args.rows, args.rows * args.dim, threads,
           [&](int64_t first, int64_t last) { kernels.norm(args, first, last); });
}

void run_gate(const Kernels& kernels, const GateArgs& args, int threads) {
  run_rows(args.rows, args.rows * args.dim, threads,
           [&](int64_t first, int64_t last) { kernels.gate(args, first, last); });
}

void run_rotary(const Kernels& kernels, const RotaryArgs& args, int threads) {
  const int64_t width = (args.heads + 2 * args.kv_heads) * args.head_dim;
  run_rows(args.tokens, args.tokens * width, threads,
           [&](int64_t first, int64_t last) { kernels.rotary(args, first, last); });
}

namespace {

struct AttentionPlan {
  std::vector<AttentionTask> tasks;
  std::vector<AttentionTask> merges;  // first task of each split decode
  std::vector<int64_t> merge_chunks;
  std::vector<float> partials;
};

}  // namespace

static void plan_decode(const AttentionArgs& args, int64_t sequence, AttentionPlan& plan) {
  const int64_t seq_len = args.seq_lens[sequence];
  const int64_t begin = args.window > 0 ? std::max<int64_t>(0, seq_len - args.window) : 0;
  const int64_t first = begin / kAttentionChunk, last = ceil_div(seq_len, kAttentionChunk);
  const int64_t group = args.heads / args.kv_heads;
  for (int64_t head = 0; head < args.kv_heads; ++head) {
    for (int64_t row = 0; row < group; row += kAttentionRows) {
      const int64_t count = std::min(kAttentionRows, group - row);
      if (last - first > 1) {
        plan.merges.push_back({sequence, head, row, count, first, last, nullptr});
        plan.merge_chunks.push_back(last - first);
      }
      for (int64_t chunk = first; chunk < last; ++chunk)
        plan.tasks.push_back({sequence, head, row, count, chunk, chunk + 1, nullptr});
    }
  }
}

static void plan_prompt(const AttentionArgs& args, int64_t sequence, int64_t queries, AttentionPlan& plan) {
  const int64_t group = args.heads / args.kv_heads, rows = queries * group;
  const int64_t context = args.seq_lens[sequence] - queries;
  for (int64_t row = 0; row < rows; row += kAttentionRows) {
    const int64_t count = std::min(kAttentionRows, rows - row);
    const int64_t begin = args.window > 0 ? std::max<int64_t>(0, context + row / group + 1 - args.window) : 0;
    const int64_t end = context + (row + count - 1) / group + 1;
    for (int64_t head = 0; head < args.kv_heads; ++head)
      plan.tasks.push_back(
          {sequence, head, row, count, begin / kAttentionChunk, ceil_div(end, kAttentionChunk), nullptr});
  }
}

// Hand each task of a split decode its place; the chunks of the same rows lie side by side.
static void place_partials(const AttentionArgs& args, AttentionPlan& plan) {
  int64_t floats = 0;
  for (size_t split = 0; split < plan.merges.size(); ++split)
    floats += plan.merge_chunks[split] * plan.merges[split].rows * (args.head_dim + 2);
  plan.partials.resize(floats);
  float* next = plan.partials.data();
  size_t split = 0;
  for (AttentionTask& task : plan.tasks) {
    if (split == plan.merges.size()) break;
    AttentionTask& merge = plan.merges[split];
    if (task.sequence != merge.sequence || task.kv_head != merge.kv_head || task.first_row != merge.first_row) continue;
    if (task.first_chunk == merge.first_chunk) merge.partial = next;
    task.partial = next, next += task.rows * (args.head_dim + 2);
    if (task.last_chunk == merge.last_chunk) ++split;
  }
}

void run_attention(const Kernels& kernels, const AttentionArgs& args, int threads) {
  AttentionPlan plan;
  int64_t products = 0;
  for (int64_t sequence = 0; sequence < args.sequences; ++sequence) {
    const int64_t queries = args.cu_seqlens[sequence + 1] - args.cu_seqlens[sequence];
    products += queries * args.seq_lens[sequence] * args.heads * args.head_dim;
    if (queries == 1) plan_decode(args, sequence, plan);
    else if (queries > 1) plan_prompt(args, sequence, queries, plan);
  }
  place_partials(args, plan);
  const bool serial = threads <= 1 || products < kSerialProducts;
  const int64_t tasks = plan.tasks.size(), merges = plan.merges.size();
#pragma omp parallel num_threads(threads) if (!serial)
  {
    // Backwards: the last rows of a prompt see most, and the longest tasks go first.
#pragma omp for schedule(dynamic)
    for (int64_t index = tasks - 1; index >= 0; --index)
      kernels.attend(args, plan.tasks[index], index ? &plan.tasks[index - 1] : nullptr);
#pragma omp for schedule(static)
    for (int64_t index = 0; index < merges; ++index) kernels.merge(args, plan.merges[index], plan.merge_chunks[index]);
  }
}

}  // namespace paddock
