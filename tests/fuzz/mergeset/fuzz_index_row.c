/* Index rows: each is parsed, then all of them, sorted, are joined as a merge does. Input: rows, each after
 * its u8 length. */
#include "storage/series/index_row.h"
#include "tests/fuzz/mergeset/fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Sum over all ids of all tag rows that parse; joining keeps it when no id comes twice, and never raises it.
 */
static uint64_t count_ids(const struct items *rows)
{
    uint64_t count = 0;
    for (size_t i = 0; i < rows->count; i++) {
        struct index_row row;
        if (index_row_parse(&row, items_get(rows, i), NULL) == 0)
            count += row.ids_count;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, data + size};
    struct items rows = {0};
    while (in.p < in.end) {
        struct item item = fuzz_bytes(&in, fuzz_number(&in, 1));
        struct index_row row;
        if (index_row_parse(&row, item, NULL) == 0) {
            struct buffer plain = {0};
            for (size_t i = 0; i < row.ids_count; i++)
                (void)index_row_id(&row, i);
            if (row.key.len)
                metric_name_unescape(&plain, row.key.data, row.key.len);
            if (row.value.len)
                metric_name_unescape(&plain, row.value.data, row.value.len);
            buffer_release(&plain);
        }
        items_add(&rows, item.data, item.len);
        free((void *)item.data);
    }
    items_sort(&rows);
    if (rows.count) {
        size_t count = rows.count;
        size_t bytes = items_bytes(&rows);
        uint64_t ids = count_ids(&rows);
        index_items_merge_tag_rows(NULL, &rows);
        if (!items_is_sorted(&rows) || rows.count > count || items_bytes(&rows) > bytes ||
            count_ids(&rows) > ids)
            abort();
    }
    items_release(&rows);
    return 0;
}
