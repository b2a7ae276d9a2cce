#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "storage/part/part_header.h"
#include "tests/unit/storage/part/part_fixture.h"

static int read_json(struct part_header *ph, const char *text)
{
    struct error err;
    *ph = (struct part_header){0};
    return part_header_read_json(ph, text, strlen(text), &err);
}

static void json_round_trips(void **state)
{
    (void)state;
    const struct part_header ph = {UINT64_MAX, 12, -5, INT64_MAX, 30000};
    struct part_header got;
    struct buffer text = {0};
    part_header_write_json(&text, &ph);
    assert_string_equal(buffer_cstr(&text),
                        "{\"RowsCount\":18446744073709551615,\"BlocksCount\":12,\"MinTimestamp\":-5,"
                        "\"MaxTimestamp\":9223372036854775807,\"MinDedupInterval\":30000}");
    assert_int_equal(read_json(&got, buffer_cstr(&text)), 0);
    assert_memory_equal(&got, &ph, sizeof ph);
    buffer_release(&text);
}

static void json_is_read_with_tolerance(void **state)
{
    (void)state;
    struct part_header ph;
    assert_int_equal(
        read_json(&ph, " {\n\t\"MaxTimestamp\" : 7 , \"x\\\"\\u0041\": {\"a\":[1,{},\"]\",null,-1e5]},"
                       "\"rowscount\":3,\"BlocksCount\":2,\"MinTimestamp\":-1,\"y\":[]} \r\n"),
        0);
    assert_int_equal(ph.rows_count, 3);
    assert_int_equal(ph.blocks_count, 2);
    assert_int_equal(ph.min_timestamp, -1);
    assert_int_equal(ph.max_timestamp, 7);
    assert_int_equal(ph.min_dedup_interval, 0);
}

static void json_that_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{",
        "{}",
        "[]",
        "null",
        "{\"RowsCount\"}",
        "{\"RowsCount\":}",
        "{\"RowsCount\":1,}",
        "{\"RowsCount\":1,\"BlocksCount\":1,\"MinTimestamp\":1,\"MaxTimestamp\":1} x",
        "{\"RowsCount\":1,\"BlocksCount\":1,\"MinTimestamp\":1}",
        "{\"RowsCount\":\"1\",\"BlocksCount\":1,\"MinTimestamp\":1,\"MaxTimestamp\":1}",
        "{\"RowsCount\":1.0,\"BlocksCount\":1,\"MinTimestamp\":1,\"MaxTimestamp\":1}",
        "{\"RowsCount\":-1,\"BlocksCount\":1,\"MinTimestamp\":1,\"MaxTimestamp\":1}",
        "{\"RowsCount\":18446744073709551616,\"BlocksCount\":1,\"MinTimestamp\":1,\"MaxTimestamp\":1}",
        "{\"RowsCount\":1,\"BlocksCount\":2,\"MinTimestamp\":1,\"MaxTimestamp\":1}",
        "{\"RowsCount\":1,\"BlocksCount\":0,\"MinTimestamp\":1,\"MaxTimestamp\":1}",
        "{\"RowsCount\":1,\"BlocksCount\":1,\"MinTimestamp\":2,\"MaxTimestamp\":1}",
        "{\"RowsCount\":1,\"BlocksCount\":1,\"MinTimestamp\":1,\"MaxTimestamp\":9223372036854775808}",
        "{\"RowsCount\":1,\"a\nb\":1,\"BlocksCount\":1,\"MinTimestamp\":1,\"MaxTimestamp\":1}",
    };
    struct part_header ph;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(read_json(&ph, texts[i]), ERR_CORRUPT);
    char deep[2000];
    memset(deep, '[', sizeof deep);
    memcpy(deep, "{\"x\":", 5);
    deep[sizeof deep - 1] = 0;
    assert_int_equal(read_json(&ph, deep), ERR_CORRUPT);
}

static void old_names(void **state)
{
    (void)state;
    struct part_header ph;
    struct error err;
    assert_int_equal(
        part_header_read_name(&ph, "97024_151_20261001000000.000_20261031235700.801_18EAE5449917B854", &err),
        0);
    assert_int_equal(ph.rows_count, 97024);
    assert_int_equal(ph.blocks_count, 151);
    assert_int_equal(ph.min_timestamp, 1790812800000);
    assert_int_equal(ph.max_timestamp, 1793491020801);
    assert_int_equal(part_header_read_name(&ph, "1_1_19700102000000.001_20240229235959.999_x", &err), 0);
    assert_int_equal(ph.min_timestamp, 86400001);
    assert_int_equal(ph.max_timestamp, 1709251199999);
    static const char *const names[] = {
        "18EAE5449917B854",
        "1_1_20261001000000.000_20261031235700.801",
        "1_1_20261001000000.000_20261031235700.801_a_b",
        "0_0_20261001000000.000_20261031235700.801_a",
        "1_2_20261001000000.000_20261031235700.801_a",
        "1_1_20261031235700.801_20261001000000.000_a",
        "1_1_20260229000000.000_20261001000000.000_a",
        "1_1_20261301000000.000_20261401000000.000_a",
        "1_1_20261001240000.000_20261002000000.000_a",
        "1_1_2026100100000.0000_20261002000000.000_a",
        "-1_1_20261001000000.000_20261002000000.000_a",
        "____",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(part_header_read_name(&ph, names[i], &err), ERR_CORRUPT);
}

static void of_a_directory(void **state)
{
    struct part_header ph;
    struct error err;
    const char *dir = path_in(state, "3_2_20261001000000.000_20261031235700.801_18EAE5449917B854");
    char file[512];
    assert_int_equal(fs_make_dirs(&fs_posix, dir, false, &err), 0);
    assert_int_equal(part_header_read(&ph, dir, &err), 0);
    assert_int_equal(ph.rows_count, 3);
    assert_int_equal(ph.min_dedup_interval, 0);
    snprintf(file, sizeof file, "%s/", dir);
    assert_int_equal(part_header_read(&ph, file, &err), 0);
    snprintf(file, sizeof file, "%s/min_dedup_interval", dir);
    assert_int_equal(fs_write_file(&fs_posix, file, "1h2m3.5s", 8, &err), 0);
    assert_int_equal(part_header_read(&ph, dir, &err), 0);
    assert_int_equal(ph.min_dedup_interval, 3723500);
    /* metadata.json wins over the name. */
    snprintf(file, sizeof file, "%s/metadata.json", dir);
    const char json[] = "{\"RowsCount\":9,\"BlocksCount\":1,\"MinTimestamp\":1,\"MaxTimestamp\":1}";
    assert_int_equal(fs_write_file(&fs_posix, file, json, sizeof json - 1, &err), 0);
    assert_int_equal(part_header_read(&ph, dir, &err), 0);
    assert_int_equal(ph.rows_count, 9);

    assert_int_equal(part_header_read(&ph, path_in(state, "18EAE5449917B854"), &err), ERR_CORRUPT);
    assert_non_null(strstr(err.message, "metadata.json is missing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_round_trips),
        cmocka_unit_test(json_is_read_with_tolerance),
        cmocka_unit_test(json_that_is_none),
        cmocka_unit_test(old_names),
        cmocka_unit_test_setup_teardown(of_a_directory, temp_dir_setup, temp_dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
