/* Cuts a fuzzer's input into numbers and byte strings. Past its end everything is zero and empty. */
#ifndef VARVE_TESTS_FUZZ_MERGESET_FUZZ_INPUT_H
#define VARVE_TESTS_FUZZ_MERGESET_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "storage/mergeset/items.h"

struct fuzz_input {
    const uint8_t *p, *end;
};

static inline uint32_t fuzz_number(struct fuzz_input *in, int bytes)
{
    uint32_t v = 0;
    for (; bytes > 0; bytes--)
        v = v << 8 | (in->p < in->end ? *in->p++ : 0u);
    return v;
}

/* An exact copy of up to len bytes, so that ASan sees any read beyond them. Free item.data. */
static inline struct item fuzz_bytes(struct fuzz_input *in, size_t len)
{
    size_t left = (size_t)(in->end - in->p);
    if (len > left)
        len = left;
    uint8_t *copy = calloc(len ? len : 1, 1);
    if (!copy)
        abort();
    if (len)
        memcpy(copy, in->p, len);
    in->p += len;
    return (struct item){copy, len};
}

#endif
