#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "src/base/buffer.h"
#include "src/base/clock.h"
#include "src/query.h"
#include "storage/search/search.h"
#include "storage/storage.h"
#include "tests/doubles/temp_dir.h"

#define T0 INT64_C(1793491140000)

enum { ROWS = 5 };

struct fixture {
    char *dir;
    struct storage *st;
    struct buffer answer;
    size_t pieces;
    int write_result;
};

static int collect(void *context, const void *data, size_t size, struct error *reterr)
{
    struct fixture *f = context;
    f->pieces++;
    if (f->write_result < 0)
        return error_set(reterr, f->write_result, "the reader is gone");
    buffer_append(&f->answer, data, size);
    return 0;
}

static void add_series(struct storage_writer *w, const char *name, const char *host)
{
    struct metric_label labels[] = {{"__name__", 8, name, (uint32_t)strlen(name)},
                                    {"host", 4, host, (uint32_t)strlen(host)}};
    uint32_t series;
    const char *reason;
    assert_int_equal(storage_writer_series(w, labels, 2, T0, &series, &reason), 0);
    for (int i = 0; i < ROWS; i++)
        assert_int_equal(storage_writer_add(w, series, T0 + i * 1000, (struct decimal){.mantissa = i}),
                         ROW_ADDED);
}

static int set_up(void **state)
{
    static struct fixture f;
    struct error error;
    f = (struct fixture){.dir = TEMP_DIR()};
    clock_set_fake_ms(T0 + DAY_MS);
    struct storage_options options = {
        .path = f.dir, .retention_ms = 400 * DAY_MS, .flush_interval_ms = 1000, .merge_workers = 1};
    assert_int_equal(storage_open(&f.st, &options, &error), 0);
    struct storage_writer *w = storage_writer_new(f.st);
    storage_writer_begin(w);
    add_series(w, "load", "a");
    add_series(w, "load", "b");
    add_series(w, "temp", "a");
    storage_writer_end(w);
    storage_writer_free(w);
    assert_int_equal(storage_flush(f.st, -1, &error), 0);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(storage_close(f->st, NULL), 0);
    buffer_release(&f->answer);
    temp_dir_remove(f->dir);
    clock_set_fake_ms(0);
    return 0;
}

static int ask(struct fixture *f, struct query q, const char *match, struct error *reterr)
{
    if (match)
        query_add_match(&q, match);
    buffer_clear(&f->answer);
    f->pieces = 0;
    struct reader *r = reader_new(f->st);
    int result = query_run(r, &q, collect, f, reterr);
    reader_free(r);
    query_release(&q);
    return result;
}

#define EXPORT .kind = QUERY_EXPORT, .start_ms = 0, .end_ms = T0 + DAY_MS
#define SERIES .kind = QUERY_SERIES, .start_ms = 0, .end_ms = T0 + DAY_MS

static void test_export(void **state)
{
    struct fixture *f = *state;
    struct error error;
    assert_int_equal(ask(f, (struct query){EXPORT}, "load{host=\"a\"}", &error), 0);
    assert_string_equal(
        buffer_cstr(&f->answer),
        "{\"metric\":{\"__name__\":\"load\",\"host\":\"a\"},\"values\":[0,1,2,3,4],\"timestamps\":["
        "1793491140000,1793491141000,1793491142000,1793491143000,1793491144000]}\n");
    /* In lines of two rows, and a range. */
    struct query q = {
        .kind = QUERY_EXPORT, .start_ms = T0 + 1000, .end_ms = T0 + 3999, .max_rows_per_line = 2};
    assert_int_equal(ask(f, q, "temp", &error), 0);
    assert_string_equal(buffer_cstr(&f->answer),
                        "{\"metric\":{\"__name__\":\"temp\",\"host\":\"a\"},\"values\":[1,2],\"timestamps\":["
                        "1793491141000,1793491142000]}\n"
                        "{\"metric\":{\"__name__\":\"temp\",\"host\":\"a\"},\"values\":[3],\"timestamps\":["
                        "1793491143000]}\n");
    /* Without a selector all of it; nothing is an empty answer. */
    assert_int_equal(ask(f, (struct query){EXPORT}, NULL, &error), 0);
    size_t lines = 0;
    for (size_t i = 0; i < f->answer.len; i++)
        lines += f->answer.data[i] == '\n';
    assert_int_equal(lines, 3);
    assert_int_equal(ask(f, (struct query){EXPORT}, "nothing", &error), 0);
    assert_int_equal(f->answer.len, 0);
}

static void test_series(void **state)
{
    struct fixture *f = *state;
    struct error error;
    assert_int_equal(ask(f, (struct query){SERIES}, "load", &error), 0);
    assert_string_equal(buffer_cstr(&f->answer),
                        "{\"status\":\"success\",\"data\":[{\"__name__\":\"load\",\"host\":\"a\"},"
                        "{\"__name__\":\"load\",\"host\":\"b\"}]}");
    assert_int_equal(ask(f, (struct query){SERIES, .limit = 1}, "load", &error), 0);
    assert_string_equal(buffer_cstr(&f->answer),
                        "{\"status\":\"success\",\"data\":[{\"__name__\":\"load\",\"host\":\"a\"}]}");
    assert_int_equal(ask(f, (struct query){SERIES}, "nothing", &error), 0);
    assert_string_equal(buffer_cstr(&f->answer), "{\"status\":\"success\",\"data\":[]}");
}

static void test_errors(void **state)
{
    struct fixture *f = *state;
    struct error error;
    assert_int_equal(ask(f, (struct query){EXPORT}, "load{host=", &error), ERR_INVALID);
    assert_int_equal(f->pieces, 0);
    f->write_result = ERR_CANCELLED;
    assert_int_equal(ask(f, (struct query){EXPORT}, "load", &error), ERR_CANCELLED);
    assert_string_equal(error.message, "the reader is gone");
    assert_int_equal(ask(f, (struct query){SERIES}, "load", &error), ERR_CANCELLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_export, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_series, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_errors, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
