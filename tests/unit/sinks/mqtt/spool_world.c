#include "tests/unit/sinks/mqtt/spool_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int spool_world_setup(void **state)
{
    struct spool_world *w = calloc(1, sizeof *w);
    snprintf(w->dir, sizeof w->dir, "/tmp/test_spool.XXXXXX");
    faulty_spool_fs_init(&w->fs);
    w->max_bytes = 64 << 20;
    *state = w;
    return mkdtemp(w->dir) ? 0 : -1;
}

int spool_world_teardown(void **state)
{
    struct spool_world *w = *state;
    world_close(w);
    DIR *d = opendir(w->dir);
    for (struct dirent *e; d && (e = readdir(d));)
        (void)unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    int r = rmdir(w->dir);
    free(w);
    return r;
}

void world_open(struct spool_world *w)
{
    struct spool_options options = {
        .path = w->dir, .max_bytes = w->max_bytes, .keep_unwritten = w->keep_unwritten, .fs = &w->fs.fs};
    struct error error = {0};
    assert_null(w->spool);
    if (spool_open(&w->spool, &options, &error) < 0)
        fail_msg("%s", error.message);
}

void world_close(struct spool_world *w)
{
    spool_close(w->spool);
    w->spool = NULL;
}

int world_append(struct spool_world *w, const char *prefix, unsigned n, size_t size)
{
    char text[64];
    int len = snprintf(text, sizeof text, "%s%u", prefix, n);
    char *payload = malloc(size + sizeof text);
    memset(payload, ' ', size + sizeof text);
    memcpy(payload, text, (size_t)len);
    struct spool_record r = {.arrival_ms = 1000 + n,
                             .packet_id = (uint16_t)n,
                             .qos = 1,
                             .topic = span_of("t/x", 3),
                             .payload = span_of(payload, size > (size_t)len ? size : (size_t)len)};
    uint64_t lsn;
    int rc = spool_append(w->spool, &r, false, &lsn);
    free(payload);
    return rc;
}

void world_commit(struct spool_world *w)
{
    struct error error = {0};
    if (spool_commit(w->spool, &error) < 0)
        fail_msg("%s", error.message);
}

unsigned world_read(struct spool_world *w, uint64_t lsn, const char *prefix, unsigned first)
{
    struct spool_reader r;
    unsigned count = 0;
    int n;
    spool_reader_init(&r, w->spool, lsn);
    while (spool_wait_durable(w->spool, r.next_lsn, 0)) {
        n = spool_reader_read(&r, 4096, NULL);
        assert_true(n >= 0);
        for (int i = 0; i < n; i++) {
            char text[64];
            int len = snprintf(text, sizeof text, "%s%u", prefix, first + count);
            const struct spool_record *record = &r.records[i];
            assert_true(record->payload.len >= (uint32_t)len);
            assert_memory_equal(record->payload.data, text, (size_t)len);
            if (record->payload.len > (uint32_t)len)
                assert_int_equal(record->payload.data[len], ' ');
            assert_int_equal(record->arrival_ms, 1000 + first + count);
            count++;
        }
    }
    assert_int_equal(r.damaged_total, 0);
    spool_reader_release(&r);
    return count;
}

unsigned world_files(struct spool_world *w, const char *suffix, char last[64])
{
    unsigned count = 0;
    DIR *d = opendir(w->dir);
    last[0] = '\0';
    for (struct dirent *e; (e = readdir(d));) {
        size_t len = strlen(e->d_name), n = strlen(suffix);
        if (len < n || strcmp(e->d_name + len - n, suffix) != 0)
            continue;
        count++;
        if (strcmp(e->d_name, last) > 0)
            snprintf(last, 64, "%.60s", e->d_name);
    }
    closedir(d);
    return count;
}
