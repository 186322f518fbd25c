// Whatever the compiler's default target is: SSE2, NEON.
#define PADDOCK_ISA portable
#define PADDOCK_ISA_NAME "portable"
#define PADDOCK_WIDE 0
#include "kernel_set.h"
