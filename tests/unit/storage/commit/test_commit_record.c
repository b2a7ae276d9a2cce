/* Commit records: the payload that the journal frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/storage/commit/commit_fixture.h"

#define PARTS_AT 36 /* bytes of the head */

static void fill(struct commit_record *record)
{
    fill_record(record, 12, 11);
    set_position(&record->positions, "another source", UINT64_MAX, STORAGE_POSITION_MARK_MAX);
    commit_record_add_part(record, PLACE_SMALL, "2026_10", "00000000000000A1");
    commit_record_add_part(record, PLACE_BIG, "1970_01", "FFFFFFFFFFFFFFFF");
    commit_record_add_part(record, PLACE_INDEX, "2026_11", "0123456789ABCDEF");
}

static void a_record_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct commit_record record = {0}, again = {0};
    struct buffer bytes = {0};
    fill(&record);
    record.time_ms = -5;
    commit_record_encode(&record, &bytes);
    assert_int_equal(commit_record_decode(&again, bytes.data, bytes.len, NULL), 0);
    assert_same_record(&record, &again);
    commit_record_release(&again);
    commit_record_release(&record);

    buffer_clear(&bytes);
    record.n = record.published = 3; /* only says what was published */
    commit_record_encode(&record, &bytes);
    assert_int_equal(commit_record_decode(&again, bytes.data, bytes.len, NULL), 0);
    assert_same_record(&record, &again);
    commit_record_release(&again);
    commit_record_release(&record);
    buffer_release(&bytes);
}

static void a_cut_record_and_one_with_more_behind_it_are_corrupt(void **state)
{
    (void)state;
    struct commit_record record = {0}, again = {0};
    struct buffer bytes = {0};
    fill(&record);
    commit_record_encode(&record, &bytes);
    for (size_t size = 0; size < bytes.len; size++) {
        uint8_t *cut = malloc(size ? size : 1);
        memcpy(cut, bytes.data, size);
        assert_int_equal(commit_record_decode(&again, cut, size, NULL), ERR_CORRUPT);
        free(cut);
    }
    buffer_append_u8(&bytes, 0);
    assert_int_equal(commit_record_decode(&again, bytes.data, bytes.len, NULL), ERR_CORRUPT);
    assert_null(again.parts);
    commit_record_release(&record);
    buffer_release(&bytes);
}

static void a_malformed_part_is_refused_with_the_records_number(void **state)
{
    (void)state;
    static const struct {
        size_t at; /* behind the head */
        char byte;
    } bad[] = {
        {0, PART_PLACES}, {0, '\xff'}, {1, 'x'}, {1, '/'},  {4, ':'},  {5, '-'}, {6, '/'},     {7, '\0'},
        {8, 'a'},         {8, '/'},    {8, '.'}, {23, 'G'}, {23, '@'}, {23, 0},  {15, '\xc3'},
    };
    struct commit_record record = {0}, again = {0};
    struct buffer bytes = {0};
    fill(&record);
    commit_record_encode(&record, &bytes);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error error = {0};
        uint8_t *p = bytes.data + PARTS_AT + bad[i].at;
        uint8_t good = *p;
        *p = (uint8_t)bad[i].byte;
        assert_int_equal(commit_record_decode(&again, bytes.data, bytes.len, &error), ERR_CORRUPT);
        assert_non_null(strstr(error.message, "12"));
        *p = good;
    }
    assert_int_equal(commit_record_decode(&again, bytes.data, bytes.len, NULL), 0);
    commit_record_release(&again);
    memset(bytes.data + 32, 0xff, 4); /* the number of parts */
    assert_int_equal(commit_record_decode(&again, bytes.data, bytes.len, NULL), ERR_CORRUPT);
    commit_record_release(&record);
    buffer_release(&bytes);
}

static void places_have_their_folders(void **state)
{
    (void)state;
    assert_string_equal(part_place_dir(PLACE_SMALL), "small");
    assert_string_equal(part_place_dir(PLACE_BIG), "big");
    assert_string_equal(part_place_dir(PLACE_INDEX), "indexdb");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_read_as_it_was_written),
        cmocka_unit_test(a_cut_record_and_one_with_more_behind_it_are_corrupt),
        cmocka_unit_test(a_malformed_part_is_refused_with_the_records_number),
        cmocka_unit_test(places_have_their_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
