// The table of kernels by set of instructions. This file is compiled for any processor.
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "kernels.h"

namespace r2n {
namespace {

#if defined(__x86_64__)
// The files of AVX-512 are compiled for VNNI and BF16 too, those of AVX2 for AVX-VNNI, but these are
// used where an intrinsic names them, and nowhere else (tests/native/test_instructions.py).
bool has_avx2() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool has_avx2_vnni() {
  unsigned a = 0, b, c, d;
  const bool told = __get_cpuid_count(7, 1, &a, &b, &c, &d);
  return has_avx2() && told && (a >> 4 & 1) && avx2_vnni_kernel(U8, 1, 1, false);
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

bool has_avx512_vnni() { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }

bool has_avx512_bf16() { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }

constexpr Kernels kAvx512 = {{28, 14, 9, 6}, 7, avx512_kernel, avx512_pairs, avx512_planes,
                             avx512_products, &avx512_simple};
constexpr Kernels kAvx2 = {{56, 0, 0, 0}, 28, avx2_kernel, avx2_pairs, avx2_planes,
                           avx2_products, &avx2_simple};
constexpr Kernels kAvx2Vnni = {{56, 0, 0, 0}, 28, avx2_vnni_kernel, avx2_pairs, avx2_planes,
                               avx2_vnni_products, &avx2_simple};

// The best first.
constexpr InstructionSet kSets[] = {
    {"avx512_bf16", BF16, 3, has_avx512_bf16, &kAvx512},
    {"avx512_vnni", U8, 2, has_avx512_vnni, &kAvx512},
    {"avx512", F32, 1, has_avx512, &kAvx512},
    {"avx2_vnni", U8, 2, has_avx2_vnni, &kAvx2Vnni},
    {"avx2", F32, 0, has_avx2, &kAvx2},
    {"avx2", U8, 0, has_avx2, &kAvx2},
};
#endif

}  // namespace

const InstructionSet* instruction_set(int type, int level) {
#if defined(__x86_64__)
  for (const InstructionSet& set : kSets)
    if (set.type == type && set.level <= level && set.present()) return &set;
#endif
  return nullptr;
}

}  // namespace r2n
