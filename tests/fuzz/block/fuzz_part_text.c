/* The texts of a part: metadata.json, varve.sums, and a name of older releases. */
#include <stdlib.h>

#include "src/base/alloc.h"
#include "storage/part/part_header.h"
#include "storage/part/part_sums.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct part_header ph, again;
    struct part_sums sums;
    struct error err;
    if (part_header_read_json(&ph, data, size, &err) == 0) {
        struct buffer text = {0};
        part_header_write_json(&text, &ph);
        if (part_header_read_json(&again, text.data, text.len, &err) < 0 ||
            again.rows_count != ph.rows_count || again.max_timestamp != ph.max_timestamp)
            abort();
        buffer_release(&text);
    }
    if (part_sums_parse(&sums, data, size, &err) == 0)
        part_sums_release(&sums);
    char *name = xstrndup((const char *)data, size);
    if (part_header_read_name(&ph, name, &err) == 0 && ph.min_timestamp > ph.max_timestamp)
        abort();
    free(name);
    return 0;
}
