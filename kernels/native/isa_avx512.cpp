// Skylake-X and later.
#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#define PADDOCK_ISA avx512
#define PADDOCK_ISA_NAME "avx512"
#define PADDOCK_WIDE 1
#include "kernel_set.h"
#endif
