// Division of each operation among OpenMP threads. No division changes a result.
#pragma once
#include "arguments.h"

namespace paddock {

void run_linear(const Kernels&, LinearArgs, int threads);
void run_quantized(const Kernels&, const QuantizedArgs&, int threads);
void run_quantized_lookup(const Kernels&, const QuantizedLookupArgs&, int threads);
void run_pack(const Kernels&, const PackArgs&, int threads);
void run_lookup(const Kernels&, const LookupArgs&, int threads);
void run_norm(const Kernels&, const NormArgs&, int threads);
void run_gate(const Kernels&, const GateArgs&, int threads);
void run_rotary(const Kernels&, const RotaryArgs&, int threads);
void run_attention(const Kernels&, const AttentionArgs&, int threads);

}  // namespace paddock
