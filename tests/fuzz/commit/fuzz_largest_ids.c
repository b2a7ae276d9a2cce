/* varve/cache/largest_ids: what is accepted is printed as it was. The checksum is put right first, or no
 * input would get past it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/crc32c.h"
#include "storage/series/largest_ids.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text, size_t size)
{
    struct largest_ids ids = {0};
    struct error error;
    if (largest_ids_parse(&ids, text, size, &error) == 0) {
        struct buffer out = {0};
        largest_ids_print(&ids, &out);
        if (out.len != size || memcmp(out.data, text, size) != 0)
            abort();
        buffer_release(&out);
    } else if (ids.count || ids.months) {
        abort();
    }
    largest_ids_release(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xmalloc(size + 10);
    if (size)
        memcpy(text, data, size);
    check(text, size);
    snprintf(text + size, 10, "%08x\n", (unsigned)crc32c(0, text, size));
    check(text, size + 9);
    free(text);
    return 0;
}
