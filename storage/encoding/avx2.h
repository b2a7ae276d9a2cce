/* Loops that are compiled a second time, for processors with AVX2, and chosen when they're called. */
#ifndef VARVE_STORAGE_ENCODING_AVX2_H
#define VARVE_STORAGE_ENCODING_AVX2_H

#include <stdbool.h>

#if defined(__x86_64__)
#define TARGET_AVX2 __attribute__((target("avx2")))
#else
#define TARGET_AVX2
#endif

/* Whether a function that is TARGET_AVX2 may be called. */
static inline bool has_avx2(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2");
#else
    return false;
#endif
}

#endif
