// Choice of the kernels that this processor can run.
#pragma once
#include "arguments.h"

namespace paddock {

// The best set, or the named one ("avx512", "avx2", "portable"); null when this processor lacks it.
const KernelSet* select_kernels(const char* name);

}  // namespace paddock
