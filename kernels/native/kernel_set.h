// Instantiates the kernels for the instruction set that the including file selected.
#pragma once
#include "attention.h"
#include "elementwise.h"
#include "linear.h"
#include "linear_quantized.h"

namespace paddock::PADDOCK_ISA {

template <class T>
constexpr Kernels kernels_of() {
  return {sizeof(T), linear<T>, widen_rows<T>, pack_panel<T>, lookup<T>, linear_quantized<T>, sum_slices,
          lookup_quantized<T>, norm<T>, gate<T>, rotary<T>, attend<T>, merge<T>};
}

extern const KernelSet kSet;
const KernelSet kSet = {PADDOCK_ISA_NAME, kernels_of<float>(), kernels_of<bf16>()};

}  // namespace paddock::PADDOCK_ISA
