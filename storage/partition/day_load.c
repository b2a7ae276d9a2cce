#include "storage/partition/day_load.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "storage/series/index_row.h"
#include "storage/series/series_registry.h"

struct day_load {
    uint64_t date;
    struct index_scan all; /* of whoever reads all rows */
    struct index_scan one; /* of those who look for a name */
    struct buffer prefix;  /* of the day's rows */
    struct buffer key;     /* of a name's rows */
    bool started, done;
};

void loaded_rows_release(struct loaded_rows *rows)
{
    free(rows->rows);
    buffer_release(&rows->names);
    *rows = (struct loaded_rows){0};
}

static void clear(struct loaded_rows *rows)
{
    rows->count = 0;
    buffer_clear(&rows->names);
}

static int add_item(struct loaded_rows *rows, struct item item, struct error *reterr)
{
    struct index_row row;
    int r = index_row_parse(&row, item, reterr);
    if (r < 0)
        return r;
    GROW(rows->rows, rows->count, rows->capacity);
    rows->rows[rows->count++] = (struct loaded_row){
        .tsid = row.tsid,
        .hash = series_name_hash(row.name.data, row.name.len),
        .name_offset = rows->names.len,
        .name_len = (uint32_t)row.name.len,
    };
    buffer_append(&rows->names, row.name.data, row.name.len);
    return 0;
}

/* --- scans --- */

static void scan_parts(struct index_scan *scan)
{
    scan->sources = xcalloc(scan->parts.count, sizeof *scan->sources);
    for (size_t i = 0; i < scan->parts.count; i++)
        scan->sources[i] = part_item_source(scan->parts.parts[i]);
    item_search_init(&scan->search, scan->sources, scan->parts.count);
}

void index_scan_open(struct index_scan *scan, struct partition *pt)
{
    *scan = (struct index_scan){0};
    part_set_pin(&pt->index, &scan->parts, NULL, NULL);
    scan_parts(scan);
}

void index_scan_close(struct index_scan *scan)
{
    item_search_release(&scan->search);
    free(scan->sources);
    part_list_release(&scan->parts);
}

/* --- one day --- */

struct day_load *day_load_new(struct partition *pt, uint64_t date)
{
    struct day_load *dl = xcalloc(1, sizeof *dl);
    dl->date = date;
    index_key_number(&dl->prefix, INDEX_DATE_NAME_TSID, date);
    index_scan_open(&dl->all, pt);
    for (size_t i = 0; i < dl->all.parts.count; i++)
        part_list_add(&dl->one.parts, part_ref(dl->all.parts.parts[i]));
    scan_parts(&dl->one);
    return dl;
}

void day_load_free(struct day_load *dl)
{
    if (!dl)
        return;
    index_scan_close(&dl->all);
    index_scan_close(&dl->one);
    buffer_release(&dl->prefix);
    buffer_release(&dl->key);
    free(dl);
}

static bool has_prefix(struct item item, const struct buffer *prefix)
{
    return item.len >= prefix->len && memcmp(item.data, prefix->data, prefix->len) == 0;
}

int day_load_next(struct day_load *dl, size_t max, struct loaded_rows *ret, struct error *reterr)
{
    clear(ret);
    while (!dl->done && ret->count < max) {
        int r = dl->started
                    ? item_search_next(&dl->all.search, reterr)
                    : item_search_first_with_prefix(&dl->all.search, dl->prefix.data, dl->prefix.len, reterr);
        dl->started = true;
        if (r < 0)
            return r;
        dl->done = r == 0 || !has_prefix(dl->all.search.item, &dl->prefix);
        if (!dl->done && (r = add_item(ret, dl->all.search.item, reterr)) < 0)
            return r;
    }
    return !dl->done;
}

int day_load_find(struct day_load *dl, struct item name, struct loaded_rows *ret, struct error *reterr)
{
    clear(ret);
    buffer_clear(&dl->key);
    index_key_date_name(&dl->key, dl->date, name.data, name.len);
    int r = item_search_first_with_prefix(&dl->one.search, dl->key.data, dl->key.len, reterr);
    while (r == 1 && has_prefix(dl->one.search.item, &dl->key)) {
        r = add_item(ret, dl->one.search.item, reterr);
        if (r == 0)
            r = item_search_next(&dl->one.search, reterr);
    }
    return r < 0 ? r : 0;
}
