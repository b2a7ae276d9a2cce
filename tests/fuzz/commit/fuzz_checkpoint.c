/* A checkpoint's bytes as they are, and again with the checksum put right. */
#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/crc32c.h"
#include "src/base/endian.h"
#include "storage/commit/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct checkpoint c = {0};
    struct error error;
    if (checkpoint_parse(&c, data, size, &error) == 0)
        checkpoint_release(&c);
    uint8_t *copy = xmemdup(data, size);
    if (size >= 4)
        put_le32(copy + size - 4, crc32c(0, copy, size - 4));
    if (checkpoint_parse(&c, copy, size, &error) == 0) {
        for (size_t i = 0; i < c.positions.count; i++)
            if (c.positions.entries[i].position.mark_len > STORAGE_POSITION_MARK_MAX)
                abort();
        checkpoint_release(&c);
    }
    free(copy);
    return 0;
}
