/* varve/cache/largest_ids: what it says is used only for the parts that it was written for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "storage/series/largest_ids.h"
#include "tests/doubles/temp_dir.h"

#define STORE "0123456789abcdef0123456789abcdef"
#define OTHER "0123456789abcdef0123456789abcdee"

static struct largest_ids some_ids(void)
{
    struct largest_ids ids = {.commit = 41};
    memcpy(ids.store_id, STORE, sizeof ids.store_id);
    largest_ids_add(&ids, "2025_12", 7, 0);
    largest_ids_add(&ids, "2026_11", UINT64_MAX, UINT64_MAX);
    return ids;
}

static void expect(const struct largest_ids *ids, const char *month, uint64_t hash, bool found, uint64_t id)
{
    uint64_t got = 1;
    assert_int_equal(largest_ids_find(ids, month, hash, &got), found);
    if (found)
        assert_int_equal(got, id);
}

static void what_is_printed_is_parsed(void **state)
{
    (void)state;
    struct largest_ids ids = some_ids(), again = {0};
    struct buffer text = {0};
    largest_ids_print(&ids, &text);
    assert_int_equal(largest_ids_parse(&again, (const char *)text.data, text.len, NULL), 0);
    assert_int_equal(again.commit, 41);
    assert_string_equal(again.store_id, STORE);
    expect(&again, "2025_12", 7, true, 0);
    expect(&again, "2026_11", UINT64_MAX, true, UINT64_MAX);
    expect(&again, "2026_11", 7, false, 0);
    expect(&again, "2026_10", 7, false, 0);
    largest_ids_release(&ids);
    largest_ids_release(&again);
    buffer_release(&text);
}

/* Every bit of it, and every length. */
static void whatever_is_damaged_is_refused(void **state)
{
    (void)state;
    struct largest_ids ids = some_ids(), again = {0};
    struct buffer text = {0};
    largest_ids_print(&ids, &text);
    for (size_t bit = 0; bit < 8 * text.len; bit++) {
        text.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        struct error error = {0};
        if (largest_ids_parse(&again, (const char *)text.data, text.len, &error) != ERR_CORRUPT)
            fail_msg("bit %zu flipped, and nobody noticed", bit);
        assert_int_equal(again.count, 0);
        text.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < text.len; len++) {
        char *copy = xmemdup(text.data, len ? len : 1);
        assert_int_equal(largest_ids_parse(&again, copy, len, NULL), ERR_CORRUPT);
        free(copy);
    }
    largest_ids_release(&ids);
    buffer_release(&text);
}

static void the_hash_is_that_of_a_set(void **state)
{
    (void)state;
    const char *a[] = {"18B0", "18B1", "18B2"}, *b[] = {"18B2", "18B0", "18B1"}, *c[] = {"18B0", "18B1"};
    assert_int_equal(largest_ids_parts_hash(a, 3), largest_ids_parts_hash(b, 3));
    assert_true(largest_ids_parts_hash(a, 3) != largest_ids_parts_hash(c, 2));
    assert_true(largest_ids_parts_hash(a, 2) != largest_ids_parts_hash(a + 1, 2));
    assert_int_equal(largest_ids_parts_hash(NULL, 0), 0);
}

static void a_file_counts_for_its_store_and_from_its_commit_on(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct largest_ids ids = some_ids(), again = {0};
    largest_ids_read(&again, dir, STORE, 41);
    assert_int_equal(again.count, 0);
    assert_int_equal(largest_ids_write(&ids, &fs_posix, dir, NULL), 0);
    assert_int_equal(largest_ids_write(&ids, &fs_posix, dir, NULL), 0); /* replaces it */
    largest_ids_read(&again, dir, STORE, 41);
    assert_int_equal(again.count, 2);
    largest_ids_release(&again);
    largest_ids_read(&again, dir, STORE, 1000);
    assert_int_equal(again.count, 2);
    largest_ids_release(&again);
    largest_ids_read(&again, dir, STORE, 40); /* the store was put back */
    assert_int_equal(again.count, 0);
    largest_ids_read(&again, dir, OTHER, 41);
    assert_int_equal(again.count, 0);
    _cleanup_free_ char *path = xasprintf("%s/" FILE_LARGEST_IDS, dir);
    assert_int_equal(truncate(path, 0), 0);
    largest_ids_read(&again, dir, STORE, 41);
    assert_int_equal(again.count, 0);
    largest_ids_release(&ids);
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_printed_is_parsed),
        cmocka_unit_test(whatever_is_damaged_is_refused),
        cmocka_unit_test(the_hash_is_that_of_a_set),
        cmocka_unit_test(a_file_counts_for_its_store_and_from_its_commit_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
