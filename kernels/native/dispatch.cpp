#include "dispatch.h"

#include <cstring>

namespace paddock {

namespace portable { extern const KernelSet kSet; }

#if defined(__x86_64__)
namespace avx512 { extern const KernelSet kSet; }
namespace avx2 { extern const KernelSet kSet; }

// The operating system must save the wide registers too: the builtin checks both.
static bool runs_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
static bool runs_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif

const KernelSet* select_kernels(const char* name) {
  struct Candidate {
    const KernelSet* set;
    bool runs;
  };
  const Candidate candidates[] = {
#if defined(__x86_64__)
      {&avx512::kSet, runs_avx512()},
      {&avx2::kSet, runs_avx2()},
#endif
      {&portable::kSet, true},
  };
  for (const Candidate& candidate : candidates)
    if (candidate.runs && (!name || !strcmp(name, candidate.set->name))) return candidate.set;
  return nullptr;
}

}  // namespace paddock
