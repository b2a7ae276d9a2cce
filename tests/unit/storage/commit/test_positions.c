/* The table of positions, in memory and encoded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/endian.h"
#include "tests/unit/storage/commit/commit_fixture.h"

static void the_table_is_sorted_and_found_by_key(void **state)
{
    (void)state;
    struct position_table table = {0};
    assert_null(position_table_find(&table, "a", 1));
    const char *const keys[] = {"m", "b", "z", "", "ba", "\xff", "a"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        set_position(&table, keys[i], i, 0);
    set_position(&table, "z", 99, 5);
    assert_int_equal(table.count, 7);
    const char *const sorted[] = {"", "a", "b", "ba", "m", "z", "\xff"};
    for (size_t i = 0; i < table.count; i++) {
        assert_int_equal(table.entries[i].key_len, strlen(sorted[i]));
        assert_memory_equal(table.entries[i].key, sorted[i], strlen(sorted[i]));
    }
    assert_true(position_table_find(&table, "z", 1)->position.next == 99);
    assert_int_equal(position_table_find(&table, "z", 1)->position.mark_len, 5);
    assert_true(position_table_find(&table, "", 0)->position.next == 3);
    assert_null(position_table_find(&table, "zz", 2));
    position_table_release(&table);
}

static void only_what_changed_is_taken(void **state)
{
    (void)state;
    struct position_table table = {0}, changes = {0}, durable = {0};
    set_position(&table, "a", 1, 1);
    set_position(&table, "b", 2, 1);
    position_table_take_changes(&table, &changes);
    assert_same_positions(&table, &changes);
    position_table_apply(&durable, &changes);
    position_table_release(&changes);

    position_table_take_changes(&table, &changes);
    assert_int_equal(changes.count, 0);
    set_position(&table, "b", 3, 2);
    position_table_take_changes(&table, &changes);
    assert_int_equal(changes.count, 1);
    assert_true(position_table_find(&durable, "b", 1)->position.next == 2);
    position_table_apply(&durable, &changes);
    assert_same_positions(&durable, &table);
    position_table_release(&changes);

    /* A cut that failed leaves its changes; the next one's join them. */
    set_position(&table, "a", 4, 1);
    position_table_take_changes(&table, &changes);
    set_position(&table, "a", 5, 1);
    set_position(&table, "c", 6, 1);
    position_table_take_changes(&table, &changes);
    assert_int_equal(changes.count, 2);
    assert_true(position_table_find(&changes, "a", 1)->position.next == 5);
    position_table_release(&changes);
    position_table_release(&durable);
    position_table_release(&table);
}

static void fill(struct position_table *table)
{
    char longest[POSITION_KEY_MAX + 1];
    memset(longest, 'k', sizeof longest - 1);
    longest[POSITION_KEY_MAX] = '\0';
    set_position(table, "", 0, 0);
    set_position(table,
                 "kafka\x01"
                 "cluster/topic/3",
                 UINT64_MAX, STORAGE_POSITION_MARK_MAX);
    set_position(table, longest, 1, 1);
}

static void it_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct position_table table = {0}, again = {0};
    struct buffer bytes = {0};
    buffer_append_str(&bytes, "before");
    fill(&table);
    position_table_encode(&table, &bytes);
    size_t end = bytes.len, offset = 6;
    buffer_append_str(&bytes, "behind");
    assert_int_equal(position_table_decode(&again, bytes.data, bytes.len, &offset, NULL), 0);
    assert_int_equal(offset, end);
    assert_same_positions(&table, &again);
    position_table_release(&again);

    for (size_t size = 0; size < end; size++) {
        struct error error = {0};
        offset = 6;
        uint8_t *cut = malloc(size ? size : 1); /* so that ASan sees a byte too far */
        memcpy(cut, bytes.data, size);
        assert_int_equal(position_table_decode(&again, cut, size, &offset, &error), ERR_CORRUPT);
        assert_int_equal(offset, 6);
        position_table_release(&again);
        free(cut);
    }
    position_table_release(&table);
    buffer_release(&bytes);
}

static void impossible_lengths_are_refused(void **state)
{
    (void)state;
    struct position_table table = {0};
    uint8_t bytes[8192] = {0};
    size_t offset = 0;
    put_le32(bytes, 1);
    put_le16(bytes + 4, POSITION_KEY_MAX + 1);
    assert_int_equal(position_table_decode(&table, bytes, sizeof bytes, &offset, NULL), ERR_CORRUPT);
    put_le16(bytes + 4, 1);
    bytes[15] = STORAGE_POSITION_MARK_MAX + 1;
    assert_int_equal(position_table_decode(&table, bytes, sizeof bytes, &offset, NULL), ERR_CORRUPT);
    bytes[15] = STORAGE_POSITION_MARK_MAX;
    assert_int_equal(position_table_decode(&table, bytes, sizeof bytes, &offset, NULL), 0);
    assert_int_equal(offset, 16 + STORAGE_POSITION_MARK_MAX);
    position_table_release(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_sorted_and_found_by_key),
        cmocka_unit_test(only_what_changed_is_taken),
        cmocka_unit_test(it_is_read_as_it_was_written),
        cmocka_unit_test(impossible_lengths_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
