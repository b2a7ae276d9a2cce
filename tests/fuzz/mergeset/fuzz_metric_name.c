/* Canonical names: bytes as a name, and as labels. */
#include "storage/series/index_rows.h"
#include "storage/series/tsid_generate.h"
#include "tests/fuzz/mergeset/fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Names parse, or fail, in all readers alike. */
static void read_name(const uint8_t *name, size_t len, bool must_parse)
{
    struct metric_name mn = {0};
    struct index_item_writer w = {0};
    struct index_rows rows = {0};
    struct tsid tsid;
    bool parses = metric_name_parse(&mn, name, len, NULL) == 0;
    if (must_parse && !parses)
        abort();
    if ((index_item_writer_set(&w, name, len, NULL) == 0) != parses)
        abort();
    if (parses) {
        if (tsid_generate(&tsid, name, len, 1, NULL) < 0)
            abort();
        index_rows_add_series(&rows, &w, &tsid);
        index_rows_add_date(&rows, &w, 20738, &tsid);
        struct inmemory_item_part *imp = index_rows_build(&rows);
        if (!imp || !items_is_sorted(&imp->items))
            abort();
        inmemory_item_part_free(imp);
    } else {
        (void)tsid_generate(&tsid, name, len, 1, NULL);
    }
    index_rows_release(&rows);
    index_item_writer_release(&w);
    metric_name_release(&mn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, data + size};
    struct item whole = fuzz_bytes(&in, size);
    read_name(whole.data, whole.len, false);
    free((void *)whole.data);

    in = (struct fuzz_input){data, data + size};
    struct metric_label labels[80];
    size_t count = 0;
    while (in.p < in.end && count < sizeof labels / sizeof *labels) {
        struct item name = fuzz_bytes(&in, fuzz_number(&in, 1));
        struct item value = fuzz_bytes(&in, fuzz_number(&in, 1));
        labels[count++] = (struct metric_label){(const char *)name.data, (uint32_t)name.len,
                                                (const char *)value.data, (uint32_t)value.len};
    }
    struct buffer canonical = {0};
    metric_name_canonical(&canonical, labels, count);
    (void)metric_name_check(labels, count, &metric_name_limits_default);
    if (metric_name_fits(canonical.data, canonical.len))
        read_name(canonical.data, canonical.len, true);
    buffer_release(&canonical);
    for (size_t i = 0; i < count; i++) {
        free((void *)labels[i].name);
        free((void *)labels[i].value);
    }
    return 0;
}
