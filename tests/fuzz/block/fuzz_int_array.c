/* Arrays of integers from bytes: u8 type, u16 count, i64 first item, then the data (all big endian). What
 * decodes must encode to something that decodes to the same. */
#include <stdlib.h>
#include <string.h>

#include "src/base/endian.h"
#include "storage/block/block_header.h"
#include "storage/encoding/int_array.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static int64_t items[BLOCK_ROWS_READ_MAX], again[BLOCK_ROWS_READ_MAX];

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    if (size < 11)
        return 0;
    struct error err;
    size_t n = get_be16(data + 1) % BLOCK_ROWS_READ_MAX + 1;
    int64_t first = (int64_t)get_be64(data + 3);
    if (int_array_decode(items, n, data[0] % 8, first, data + 11, size - 11, &err) < 0)
        return 0;
    struct buffer encoded = {0};
    uint8_t type;
    int_array_encode(&encoded, items, n, &type, &first);
    if (int_array_decode(again, n, type, first, encoded.data, encoded.len, &err) < 0 ||
        memcmp(items, again, n * sizeof *items) != 0)
        abort();
    buffer_release(&encoded);
    return 0;
}
