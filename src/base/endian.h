/* Fixed-width integers in memory, big endian as VictoriaMetrics stores them (format 1), little endian for
 * our own files. Pointers need no alignment. */
#ifndef VARVE_BASE_ENDIAN_H
#define VARVE_BASE_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define DEFINE_ACCESSORS(bits, order)                               \
    static inline uint##bits##_t get_##order##bits(const void *p)   \
    {                                                               \
        uint##bits##_t v;                                           \
        memcpy(&v, p, sizeof v);                                    \
        return order##bits##toh(v);                                 \
    }                                                               \
    static inline void put_##order##bits(void *p, uint##bits##_t v) \
    {                                                               \
        v = hto##order##bits(v);                                    \
        memcpy(p, &v, sizeof v);                                    \
    }

DEFINE_ACCESSORS(16, be)
DEFINE_ACCESSORS(32, be)
DEFINE_ACCESSORS(64, be)
DEFINE_ACCESSORS(16, le)
DEFINE_ACCESSORS(32, le)
DEFINE_ACCESSORS(64, le)
#undef DEFINE_ACCESSORS

#endif
