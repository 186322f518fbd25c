// Division of each operation among OpenMP threads. No division changes a result.
#pragma once
#include "arguments.h"

namespace paddock {

// `widen`: x is bfloat16 like the weight, and is converted first.
void run_linear(const Kernels&, LinearArgs, bool widen, int threads);
void run_norm(const Kernels&, const NormArgs&, int threads);
void run_gate(const Kernels&, const GateArgs&, int threads);
void run_rotary(const Kernels&, const RotaryArgs&, int threads);
void run_attention(const Kernels&, const AttentionArgs&, int threads);

}  // namespace paddock
