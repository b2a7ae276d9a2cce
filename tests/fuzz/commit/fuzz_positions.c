/* Encoded positions: what decodes is sorted, found by its keys, and encodes to what decodes to the same. */
#include <stdlib.h>
#include <string.h>

#include "storage/commit/positions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct position_table table = {0}, again = {0}, changes = {0};
    struct buffer bytes = {0}, second = {0};
    struct error error;
    size_t offset = 0, offset2 = 0;
    if (position_table_decode(&table, data, size, &offset, &error) == 0) {
        if (offset > size)
            abort();
        for (size_t i = 0; i < table.count; i++) {
            const struct position_entry *e = &table.entries[i];
            if (position_table_find(&table, e->key, e->key_len) != e)
                abort();
        }
        position_table_encode(&table, &bytes);
        if (position_table_decode(&again, bytes.data, bytes.len, &offset2, &error) < 0 ||
            offset2 != bytes.len)
            abort();
        position_table_take_changes(&again, &changes);
        position_table_encode(&changes, &second);
        if (bytes.len != second.len || memcmp(bytes.data, second.data, bytes.len) != 0)
            abort();
    }
    position_table_release(&table);
    position_table_release(&again);
    position_table_release(&changes);
    buffer_release(&bytes);
    buffer_release(&second);
    return 0;
}
