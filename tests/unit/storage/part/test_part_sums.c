#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "src/base/crc32c.h"
#include "storage/part/part_sums.h"
#include "tests/unit/storage/part/part_fixture.h"

static void write_text(void **state, const char *name, const char *text)
{
    struct error err;
    assert_int_equal(fs_write_file(&fs_posix, path_in(state, name), text, strlen(text), &err), 0);
}

static void overwrite(void **state, const char *name, const char *text)
{
    struct error err;
    assert_int_equal(fs_posix.ops->unlink(&fs_posix, path_in(state, name), &err), 0);
    write_text(state, name, text);
}

static void finds_what_changed(void **state)
{
    const char *dir = *state;
    struct part_sums sums = {0};
    struct error err;
    assert_int_equal(part_sums_check_at_open(dir, &err), 0); /* a stock server's part has none */
    assert_int_equal(part_sums_verify(dir, &err), 0);

    write_text(state, "a.bin", "123456789");
    write_text(state, "b.bin", "");
    part_sums_add(&sums, "a.bin", 9, 0xe3069283);
    part_sums_add(&sums, "b.bin", 0, 0);
    assert_int_equal(part_sums_write(&sums, &fs_posix, dir, &err), 0);
    part_sums_release(&sums);
    struct buffer text = {0};
    assert_int_equal(fs_read_file(path_in(state, PART_SUMS_FILE), 1000, &text, &err), 0);
    char want[100];
    const char lines[] = "e3069283 9 a.bin\n00000000 0 b.bin\n";
    snprintf(want, sizeof want, "%s%08x 34 varve.sums\n", lines, crc32c(0, lines, sizeof lines - 1));
    assert_string_equal(buffer_cstr(&text), want);
    buffer_release(&text);

    assert_int_equal(part_sums_read(&sums, dir, &err), 1);
    assert_int_equal(sums.count, 2);
    assert_string_equal(sums.items[0].name, "a.bin");
    assert_int_equal(sums.items[0].crc, 0xe3069283);
    part_sums_release(&sums);
    assert_int_equal(part_sums_check_at_open(dir, &err), 0);
    assert_int_equal(part_sums_verify(dir, &err), 1);

    overwrite(state, "a.bin", "123456780"); /* seen by a full look only */
    assert_int_equal(part_sums_check_at_open(dir, &err), 0);
    assert_int_equal(part_sums_verify(dir, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.message, "a.bin"));
    overwrite(state, "a.bin", "12345678");
    assert_int_equal(part_sums_check_at_open(dir, &err), ERR_CORRUPT);
    assert_int_equal(fs_posix.ops->unlink(&fs_posix, path_in(state, "a.bin"), &err), 0);
    assert_int_equal(part_sums_check_at_open(dir, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.message, "a.bin"));
}

static void metaindex_is_checked_at_open(void **state)
{
    const char *dir = *state;
    struct part_sums sums = {0};
    struct error err;
    write_text(state, "metaindex.bin", "123456789");
    part_sums_add(&sums, "metaindex.bin", 9, 0xe3069283);
    assert_int_equal(part_sums_write(&sums, &fs_posix, dir, &err), 0);
    part_sums_release(&sums);
    assert_int_equal(part_sums_check_at_open(dir, &err), 0);
    overwrite(state, "metaindex.bin", "123456780");
    assert_int_equal(part_sums_check_at_open(dir, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.message, "metaindex.bin"));
}

/* Reads lines, to which their own sum is added. */
static int parse_with_own_sum(const char *lines)
{
    struct part_sums sums = {0};
    struct error err;
    struct buffer text = {0};
    buffer_printf(&text, "%s%08x %zu varve.sums\n", lines, crc32c(0, lines, strlen(lines)), strlen(lines));
    int r = part_sums_parse(&sums, text.data, text.len, &err);
    buffer_release(&text);
    part_sums_release(&sums);
    return r;
}

static void texts_that_are_none(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "\n",
        "e3069283 9 a.bin\n\n",
        "E3069283 9 a.bin\n",
        "e306928 9 a.bin\n",
        "e3069283  9 a.bin\n",
        "e3069283 9\n",
        "e3069283 9 \n",
        "e3069283 -9 a.bin\n",
        "e3069283 99999999999999999999 a.bin\n",
        "e3069283 9 ../a.bin\n",
        "e3069283 9 x/a.bin\n",
        "e3069283 9 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
    };
    assert_int_equal(parse_with_own_sum("e3069283 9 a.bin\n"), 0);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_int_equal(parse_with_own_sum(lines[i]), ERR_CORRUPT);
    static const char *const texts[] = {"", "\n", "e3069283 9 a.bin\n",
                                        "e3069283 9 a.bin\n00000000 0 b.bin\n",
                                        "e3069283 9 a.bin\n00000000 17 varve.sums\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct part_sums sums = {0};
        struct error err;
        assert_int_equal(part_sums_parse(&sums, texts[i], strlen(texts[i]), &err), ERR_CORRUPT);
        assert_null(sums.items);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_what_changed, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test_setup_teardown(metaindex_is_checked_at_open, temp_dir_setup, temp_dir_teardown),
        cmocka_unit_test(texts_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
