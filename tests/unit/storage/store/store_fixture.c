#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "storage/series/metric_name.h"
#include "tests/doubles/fault_fs.h"
#include "tests/unit/storage/store/store_fixture.h"

struct storage *open_store(const char *dir, const struct fs *fs, const struct storage_hooks *hooks)
{
    struct storage_options options = {
        .path = dir,
        .fs = fs,
        .retention_ms = 400 * DAY_MS,
        .flush_interval_ms = 3600 * SECOND_MS, /* tests flush when they mean to */
        .merge_workers = 1,
    };
    if (hooks)
        options.hooks = *hooks;
    struct storage *st;
    struct error error = {0};
    if (storage_open(&st, &options, &error) < 0)
        fail_msg("storage_open: %s", error.message);
    return st;
}

void put_message(struct storage_writer *w, uint64_t n, unsigned series)
{
    struct storage_position to = {.next = n + 1, .mark = {(uint8_t)n}, .mark_len = 1};
    struct error error = {0};
    storage_writer_begin(w);
    if (storage_writer_hand_over(w, "src", 3, n, &to, &error) < 0)
        fail_msg("hand_over: %s", error.message);
    int64_t timestamp = T0 + (int64_t)n * SECOND_MS;
    for (unsigned k = 0; k < series; k++) {
        char value[16];
        int len = snprintf(value, sizeof value, "host-%u", k);
        struct metric_label labels[] = {{"__name__", 8, "cpu_load", 8}, {"host", 4, value, (uint32_t)len}};
        uint32_t handle;
        const char *reason;
        assert_int_equal(storage_writer_series(w, labels, 2, timestamp, &handle, &reason), 0);
        assert_int_equal(
            storage_writer_add(w, handle, timestamp, decimal_from_double((double)(n * 1000 + k))), ROW_ADDED);
    }
    storage_writer_end(w);
}

void put_messages(struct storage_writer *w, uint64_t from, uint64_t to, unsigned series)
{
    for (uint64_t n = from; n < to; n++)
        put_message(w, n, series);
}

struct tally {
    unsigned series;
    unsigned seen;
    uint64_t messages;
};

static int tally_rows(void *context, const struct series_rows *rows)
{
    struct tally *t = context;
    struct metric_name mn = {0};
    assert_int_equal(metric_name_parse(&mn, rows->name, rows->name_len, NULL), 0);
    struct item host = metric_name_tag_value(&mn, "host", 4);
    char text[16] = {0};
    assert_true(host.len > strlen("host-") && host.len < sizeof text);
    memcpy(text, host.data, host.len);
    unsigned k = (unsigned)strtoul(text + strlen("host-"), NULL, 10);
    assert_true(k < t->series);
    for (size_t i = 0; i < rows->count; i++) {
        assert_int_equal(rows->timestamps[i], T0 + (int64_t)i * SECOND_MS);
        assert_true(rows->values[i] == (double)(i * 1000 + k));
    }
    if (t->seen++ == 0)
        t->messages = rows->count;
    assert_int_equal(rows->count, t->messages); /* a message's rows come and go together */
    metric_name_release(&mn);
    return 0;
}

uint64_t count_messages(struct reader *r, unsigned series)
{
    struct tally t = {.series = series};
    struct error error = {0};
    if (reader_export(r, NULL, 0, 0, INT64_MAX / 2, tally_rows, &t, &error) < 0)
        fail_msg("reader_export: %s", error.message);
    assert_true(t.seen == 0 || t.seen == series);
    reader_free(r);
    return t.messages;
}

void expect_messages(struct reader *r, uint64_t messages, unsigned series)
{
    assert_int_equal(count_messages(r, series), messages);
}

void expect_messages_in(const char *dir, uint64_t messages, unsigned series)
{
    struct reader *r;
    struct error error = {0};
    if (reader_open_dir(&r, dir, &error) < 0)
        fail_msg("reader_open_dir: %s", error.message);
    expect_messages(r, messages, series);
}

uint64_t position_of(struct storage *st)
{
    struct storage_position pos;
    return storage_position(st, "src", 3, &pos) ? pos.next : 0;
}

uint64_t durable_position_of(struct storage *st)
{
    struct storage_position pos;
    return storage_durable_position(st, "src", 3, &pos) ? pos.next : 0;
}

void *map_shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

bool run_in_child(const char *dir, long at, void (*run)(const char *dir, const struct fs *fs, void *context),
                  void *context)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct fault_fs f;
        fault_fs_init(&f, FAULT_EXIT, at);
        run(dir, &f.fs, context);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
