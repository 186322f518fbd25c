// Haswell, Zen and later.
#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#define PADDOCK_ISA avx2
#define PADDOCK_ISA_NAME "avx2"
#define PADDOCK_WIDE 0
#include "kernel_set.h"
#endif
