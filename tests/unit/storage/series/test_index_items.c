#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "storage/series/index_items.h"
#include "storage/series/index_row.h"
#include "storage/series/index_rows.h"
#include "storage/series/tsid_generate.h"
#include "tests/unit/storage/mergeset/item_fixture.h"

static void add_hex(struct items *dst, const char *hex)
{
    uint8_t *p = items_reserve(dst, strlen(hex));
    size_t len = 0;
    for (; *hex; hex++) {
        if (*hex == ' ')
            continue;
        unsigned byte;
        assert_int_equal(sscanf(hex, "%2x", &byte), 1);
        p[len++] = (uint8_t)byte;
        hex++;
    }
    items_commit(dst, len);
}

static void make_rows(struct items *dst, const char *canonical, size_t len, uint64_t date, uint64_t metric_id)
{
    struct index_item_writer w = {0};
    struct tsid tsid;
    struct error err;
    assert_int_equal(tsid_generate(&tsid, (const uint8_t *)canonical, len, metric_id, &err), 0);
    assert_int_equal(index_item_writer_set(&w, (const uint8_t *)canonical, len, &err), 0);
    index_item_writer_add_series(&w, dst, &tsid);
    index_item_writer_add_date(&w, dst, date, &tsid);
    index_item_writer_release(&w);
}
#define MAKE_ROWS(dst, canonical, date, id) make_rows(dst, canonical, sizeof(canonical) - 1, date, id)

#define ID   "18eae66e747ab5c9"
#define TSID "ba2e567083a2b2e8 83041123 a1ba3fb2" ID
#define DATE "0000000000005102"
#define NAME "6d01 6a6f62017801 696e7374616e6365017901"

/* Format 8.3: the complete set for m{job="x",instance="y"} on one date. */
static void test_worked_example(void **state)
{
    (void)state;
    struct items expected = {0}, rows = {0};
    static const char *const hex[] = {
        "01 01 6d01" ID,
        "01 696e7374616e6365017901" ID,
        "01 6a6f62017801" ID,
        "01 fe00316d696e7374616e6365017901" ID,
        "01 fe00316d6a6f62017801" ID,
        "02" ID TSID,
        "03" ID NAME,
        "05" DATE ID,
        "06" DATE "01 6d01" ID,
        "06" DATE "696e7374616e6365017901" ID,
        "06" DATE "6a6f62017801" ID,
        "06" DATE "fe00316d696e7374616e6365017901" ID,
        "06" DATE "fe00316d6a6f62017801" ID,
        "07" DATE NAME "02" TSID,
    };
    for (size_t i = 0; i < sizeof hex / sizeof *hex; i++)
        add_hex(&expected, hex[i]);
    MAKE_ROWS(&rows, "m\1job\1x\1instance\1y\1", 0x5102, UINT64_C(0x18eae66e747ab5c9));
    items_sort(&rows);
    assert_same_items(&rows, &expected);
    items_release(&rows);
    items_release(&expected);
}

static bool has_item(const struct items *items, const struct buffer *start)
{
    for (size_t i = 0; i < items->count; i++) {
        struct item item = items_get(items, i);
        if (item.len == start->len + 8 && memcmp(item.data, start->data, start->len) == 0)
            return true;
    }
    return false;
}

static void test_special_tag_rows(void **state)
{
    (void)state;
    struct items rows = {0};
    MAKE_ROWS(&rows, "a.bc\1k\1v\1", 3, 9);
    assert_int_equal(rows.count, 4 + 2 * 4); /* group, reversed group, tag, composite; for both prefixes */
    struct buffer key = {0};
    index_key_tag(&key, "\xff", 1, "cb.a", 4);
    assert_true(has_item(&rows, &key));
    buffer_clear(&key);
    index_key_date_tag(&key, 3,
                       "\xfe\x04"
                       "a.bck",
                       7, "v", 1);
    assert_true(has_item(&rows, &key));
    buffer_clear(&key);
    index_key_tag(&key, "", 0, "a.bc", 4);
    assert_true(has_item(&rows, &key));

    /* A group of 128 bytes: its length is the varint 80 01, whose second byte needs an escape. */
    items_clear(&rows);
    char name[160];
    memset(name, 'g', 128);
    memcpy(name + 128, "\1k\1v\1", 5);
    make_rows(&rows, name, 133, 3, 9);
    buffer_clear(&key);
    char composite[140] = "\xfe\x80\x01";
    memset(composite + 3, 'g', 128);
    composite[131] = 'k';
    index_key_tag(&key, composite, 132, "v", 1);
    assert_true(has_item(&rows, &key));
    assert_memory_equal(key.data, "\x01\xfe\x80\x00\x31g", 6);
    buffer_release(&key);

    /* No labels but a group; no group. */
    items_clear(&rows);
    MAKE_ROWS(&rows, "m\1", 3, 9);
    assert_int_equal(rows.count, 6);
    items_clear(&rows);
    MAKE_ROWS(&rows, "\1k\1v\1", 3, 9);
    assert_int_equal(rows.count, 4 + 2 * 3);
    items_release(&rows);
}

static void test_rows_parse(void **state)
{
    (void)state;
    static const char name[] = "temp\1job\1a\0\061b\1instance\1y\1";
    struct items rows = {0};
    struct error err;
    MAKE_ROWS(&rows, "temp\1job\1a\0\061b\1instance\1y\1", 20738, 77);
    index_items_add_deleted(&rows, 5);
    int seen[8] = {0};
    for (size_t i = 0; i < rows.count; i++) {
        struct index_row row;
        assert_int_equal(index_row_parse(&row, items_get(&rows, i), &err), 0);
        seen[row.kind]++;
        bool has_date =
            row.kind == INDEX_DATE_ID || row.kind == INDEX_DATE_TAG_IDS || row.kind == INDEX_DATE_NAME_TSID;
        assert_int_equal(row.date, has_date ? 20738 : 0);
        if (row.kind == INDEX_ID_NAME || row.kind == INDEX_DATE_NAME_TSID) {
            assert_int_equal(row.name.len, sizeof name - 1);
            assert_memory_equal(row.name.data, name, sizeof name - 1);
        }
        if (row.kind == INDEX_TAG_IDS || row.kind == INDEX_DATE_TAG_IDS) {
            assert_int_equal(row.ids_count, 1);
            assert_int_equal(index_row_id(&row, 0), 77);
        } else {
            assert_int_equal(row.metric_id, row.kind == INDEX_DELETED_ID ? 5 : 77);
        }
        if (row.kind == INDEX_ID_TSID || row.kind == INDEX_DATE_NAME_TSID)
            assert_int_equal(row.tsid.metric_id, 77);
    }
    static const int expected[8] = {0, 5, 1, 1, 1, 1, 5, 1};
    assert_memory_equal(seen, expected, sizeof seen);

    struct buffer key = {0};
    index_key_date_name(&key, 20738, (const uint8_t *)name, sizeof name - 1);
    struct index_row row;
    buffer_append(&key, "123456781234567812345678", 24);
    assert_int_equal(index_row_parse(&row, (struct item){key.data, key.len}, &err), 0);
    assert_int_equal(row.kind, INDEX_DATE_NAME_TSID);
    buffer_clear(&key);
    index_key_date_id(&key, 20738, 77);
    assert_int_equal(index_row_parse(&row, (struct item){key.data, key.len}, &err), 0);
    buffer_release(&key);
    items_release(&rows);

    static const struct {
        const char *bytes;
        size_t len;
        int code;
    } bad[] = {
        {"", 0, ERR_CORRUPT},
        {"\x08", 1, ERR_INVALID},
        {"\x01", 1, ERR_CORRUPT},
        {"\x01k\1v\1", 5, ERR_CORRUPT},
        {"\x01k\1v\1"
         "1234567",
         12, ERR_CORRUPT},
        {"\x01k\1v"
         "12345678",
         12, ERR_CORRUPT},
        {"\x02"
         "12345678",
         9, ERR_CORRUPT},
        {"\x02"
         "12345678"
         "123456781234567812345679",
         33, ERR_CORRUPT},
        {"\x03"
         "1234567",
         8, ERR_CORRUPT},
        {"\x04"
         "1234567",
         8, ERR_CORRUPT},
        {"\x05"
         "1234567",
         8, ERR_CORRUPT},
        {"\x05"
         "12345678",
         9, ERR_CORRUPT},
        {"\x06"
         "1234567",
         8, ERR_CORRUPT},
        {"\x07"
         "12345678"
         "m\1"
         "123456781234567812345678",
         35, ERR_CORRUPT},
        {"\x00"
         "m",
         2, ERR_CORRUPT},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(
            index_row_parse(&row, (struct item){(const uint8_t *)bad[i].bytes, bad[i].len}, &err),
            bad[i].code);
}

/* --- joining tag rows --- */

struct posting {
    struct item prefix;
    uint64_t id;
};

static int compare_postings(const void *a, const void *b)
{
    const struct posting *x = a, *y = b;
    int r = item_compare(x->prefix, y->prefix);
    return r ? r : (x->id > y->id) - (x->id < y->id);
}

/* All (prefix, id) pairs of the tag rows, sorted, distinct. */
static size_t postings_of(const struct items *items, struct posting **ret_postings)
{
    struct posting *postings = NULL;
    size_t count = 0, capacity = 0;
    for (size_t i = 0; i < items->count; i++) {
        struct index_row row;
        struct error err;
        assert_int_equal(index_row_parse(&row, items_get(items, i), &err), 0);
        for (size_t k = 0; k < row.ids_count; k++) {
            GROW(postings, count, capacity);
            postings[count++] = (struct posting){row.prefix, index_row_id(&row, k)};
        }
    }
    if (count)
        qsort(postings, count, sizeof *postings, compare_postings);
    size_t distinct = 0;
    for (size_t i = 0; i < count; i++)
        if (i == 0 || compare_postings(&postings[i], &postings[distinct - 1]) != 0)
            postings[distinct++] = postings[i];
    *ret_postings = postings;
    return distinct;
}

static void random_tag_row(struct random *random, struct items *dst, uint64_t ids_below)
{
    struct buffer row = {0};
    char value = (char)('a' + random_below(random, 3));
    if (random_below(random, 2))
        index_key_tag(&row, "k", 1, &value, 1);
    else
        index_key_date_tag(&row, 20738 + random_below(random, 2), "k", 1, &value, 1);
    uint64_t id = random_below(random, ids_below);
    size_t count = random_below(random, 10) == 0 ? random_below(random, 100) + 1 : 1;
    for (size_t i = 0; i < count; i++) {
        put_be64(buffer_reserve(&row, 8), id);
        row.len += 8;
        id += 1 + random_below(random, 3);
    }
    items_add(dst, row.data, row.len);
    buffer_release(&row);
}

static void test_merge_tag_rows(void **state)
{
    (void)state;
    struct random random = {40};
    size_t joined = 0;
    for (int round = 0; round < 500; round++) {
        struct items block = {0}, original = {0};
        size_t count = 1 + random_below(&random, 300);
        for (size_t i = 0; i < count; i++)
            random_tag_row(&random, &block, round % 2 ? UINT64_C(1) << 60 : 300);
        if (round % 3 == 0)
            MAKE_ROWS(&block, "m\1k\1a\1", 20738, 12);
        model_sort(&block);
        model_add_all(&original, &block);
        index_items_merge_tag_rows(NULL, &block);
        assert_true(items_is_sorted(&block));
        assert_true(block.count <= original.count);
        joined += original.count - block.count;
        assert_true(item_equal(items_get(&block, 0), items_get(&original, 0)));
        assert_true(item_equal(items_get(&block, block.count - 1), items_get(&original, original.count - 1)));
        struct posting *before, *after;
        size_t before_count = postings_of(&original, &before), after_count = postings_of(&block, &after);
        assert_int_equal(before_count, after_count);
        for (size_t i = 0; i < before_count; i++)
            assert_int_equal(compare_postings(&before[i], &after[i]), 0);
        free(before);
        free(after);
        items_release(&block);
        items_release(&original);
    }
    assert_true(joined > 10000);
}

static size_t ids_in(const struct items *items, size_t i)
{
    struct index_row row;
    struct error err;
    assert_int_equal(index_row_parse(&row, items_get(items, i), &err), 0);
    return row.ids_count;
}

/* 200 rows of one id: the first and the last stay, the others are joined by 64. */
static void test_merge_by_64(void **state)
{
    (void)state;
    struct items block = {0};
    for (uint64_t id = 0; id < 200; id++) {
        struct buffer row = {0};
        index_key_tag(&row, "k", 1, "v", 1);
        put_be64(buffer_reserve(&row, 8), id);
        row.len += 8;
        items_add(&block, row.data, row.len);
        buffer_release(&row);
    }
    index_items_merge_tag_rows(NULL, &block);
    static const size_t expected[] = {1, 64, 64, 64, 6, 1};
    assert_int_equal(block.count, 6);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(ids_in(&block, i), expected[i]);

    /* Duplicate ids: 1 1 5 ... 65, 1 1 66, 1 4 would become 1 5 ... 66, 1 4. The block stays as it was. */
    items_clear(&block);
    add_hex(&block, "00");
    struct buffer row = {0};
    index_key_tag(&row, "k", 1, "v", 1);
    size_t prefix_len = row.len;
    for (uint64_t i = 0; i < 63; i++) {
        put_be64(buffer_reserve(&row, 8), i < 2 ? 1 : i + 3);
        row.len += 8;
    }
    items_add(&block, row.data, row.len);
    put_be64(row.data + prefix_len + 16, 66);
    items_add(&block, row.data, prefix_len + 24);
    put_be64(row.data + prefix_len + 8, 4);
    items_add(&block, row.data, prefix_len + 16);
    buffer_release(&row);
    add_hex(&block, "02");
    assert_true(items_is_sorted(&block));
    struct items original = {0};
    model_add_all(&original, &block);
    index_items_merge_tag_rows(NULL, &block);
    assert_same_items(&block, &original);
    items_release(&original);

    /* A row that isn't one. */
    items_clear(&block);
    add_hex(&block, "00");
    add_hex(&block, "01 6b01 76");
    add_hex(&block, "01 6b01 7601 0000000000000002");
    add_hex(&block, "01 6b01 7601 0000000000000003");
    add_hex(&block, "02");
    index_items_merge_tag_rows(NULL, &block);
    assert_int_equal(block.count, 5);
    items_release(&block);
}

/* --- pending rows of many series at once --- */

static void random_name(struct random *random, struct buffer *dst)
{
    static const char *const groups[] = {"m", "", "cpu.load", "a\001b", "temperature_of_something"};
    static const char *const keys[] = {"host", "job", "region", "k\002"};
    struct metric_label labels[5];
    char values[5][16];
    const char *group = groups[random_below(random, 5)];
    labels[0] = (struct metric_label){"__name__", 8, group, (uint32_t)strlen(group)};
    size_t count = 1 + random_below(random, 5);
    for (size_t i = 1; i < count; i++) {
        int n = snprintf(values[i], sizeof values[i], "v%u", (unsigned)random_below(random, 50));
        labels[i] = (struct metric_label){keys[i - 1], (uint32_t)strlen(keys[i - 1]), values[i], (uint32_t)n};
    }
    buffer_clear(dst);
    metric_name_canonical(dst, labels, count);
}

static void check_index_rows(struct random *random, struct index_rows *rows, size_t series_count)
{
    struct items plain = {0};
    struct index_item_writer w = {0};
    struct buffer name = {0};
    struct error err;
    for (size_t i = 0; i < series_count; i++) {
        random_name(random, &name);
        struct tsid tsid;
        uint64_t id = random_below(random, 3) ? 1000 + i : random_below(random, 2000);
        assert_int_equal(tsid_generate(&tsid, name.data, name.len, id, &err), 0);
        assert_int_equal(index_item_writer_set(&w, name.data, name.len, &err), 0);
        if (random_below(random, 2)) {
            index_item_writer_add_series(&w, &plain, &tsid);
            index_rows_add_series(rows, &w, &tsid);
        }
        uint64_t date = 20700 + random_below(random, 3);
        index_item_writer_add_date(&w, &plain, date, &tsid);
        index_rows_add_date(rows, &w, date, &tsid);
        if (random_below(random, 20) == 0) {
            index_items_add_deleted(&plain, id);
            index_rows_add_deleted(rows, id);
        }
    }
    assert_int_equal(index_rows_empty(rows), series_count == 0);
    struct inmemory_item_part *imp = index_rows_build(rows);
    assert_true(index_rows_empty(rows));
    model_sort(&plain);
    if (!imp) {
        assert_int_equal(plain.count, 0);
    } else {
        assert_true(items_is_sorted(&imp->items));
        struct posting *before, *after;
        size_t before_count = postings_of(&plain, &before), after_count = postings_of(&imp->items, &after);
        assert_int_equal(before_count, after_count);
        for (size_t i = 0; i < before_count; i++)
            assert_int_equal(compare_postings(&before[i], &after[i]), 0);
        free(before);
        free(after);
        struct items others[2] = {0};
        const struct items *lists[2] = {&plain, &imp->items};
        for (int k = 0; k < 2; k++)
            for (size_t i = 0; i < lists[k]->count; i++) {
                struct item item = items_get(lists[k], i);
                assert_true(k == 0 || ids_in(lists[k], i) <= INDEX_IDS_PER_ROW_MAX);
                if (item.data[0] != INDEX_TAG_IDS && item.data[0] != INDEX_DATE_TAG_IDS)
                    items_add(&others[k], item.data, item.len);
            }
        assert_same_items(&others[1], &others[0]);
        items_release(&others[0]);
        items_release(&others[1]);
    }
    inmemory_item_part_free(imp);
    items_release(&plain);
    index_item_writer_release(&w);
    buffer_release(&name);
}

static void test_index_rows(void **state)
{
    (void)state;
    struct random random = {41};
    struct index_rows rows = {0};
    assert_null(index_rows_build(&rows));
    for (int round = 0; round < 60; round++)
        check_index_rows(&random, &rows, random_below(&random, round % 10 == 0 ? 3000 : 60));
    assert_true(index_rows_memory(&rows) > 0);
    index_rows_release(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example), cmocka_unit_test(test_special_tag_rows),
        cmocka_unit_test(test_rows_parse),     cmocka_unit_test(test_merge_tag_rows),
        cmocka_unit_test(test_merge_by_64),    cmocka_unit_test(test_index_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
