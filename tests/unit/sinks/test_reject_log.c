#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sinks/reject_log.h"
#include "sinks/reject_reader.h"
#include "sinks/reject_segment.h"
#include "src/base/buffer.h"

static char dir[64];

static void remove_files(void)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    while (d && (entry = readdir(d))) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        if (entry->d_name[0] != '.')
            assert_int_equal(unlink(path), 0);
    }
    if (d)
        closedir(d);
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/test_reject_log.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    remove_files();
    return rmdir(dir);
}

static struct reject_log *open_log(uint64_t max_size)
{
    struct reject_log *log = NULL;
    struct error error;
    if (reject_log_open(dir, max_size, &log, &error) < 0)
        fail_msg("%s", error.message);
    return log;
}

static struct span text(const char *s)
{
    return span_of(s, strlen(s));
}

/* Entry n of size payload bytes, all of which say n. */
static void append(struct reject_log *log, unsigned n, size_t size)
{
    char position[32];
    char *payload = malloc(size + 1);
    snprintf(position, sizeof position, "t/0@%u", n);
    memset(payload, 'a' + (int)(n % 26), size);
    reject_log_append(log, &(struct reject_entry){
                               .time_ms = 1753800000000 + n,
                               .sink = text("plant"),
                               .position = text(position),
                               .reason = text("bad_timestamp"),
                               .payload = span_of(payload, size),
                               .full_size = size + n,
                           });
    free(payload);
}

/* Reads all entries, checks that each is whole, and returns how many; first and last n in *ret. */
static unsigned read_all(unsigned *ret_first, unsigned *ret_last, uint64_t *ret_damaged)
{
    struct reject_reader *reader;
    struct reject_entry e;
    struct error error;
    unsigned count = 0, last = 0;
    assert_int_equal(reject_reader_open(dir, &reader, &error), 0);
    int r;
    while ((r = reject_reader_next(reader, &e, &error)) == 1) {
        char position[32];
        assert_true(e.position.len < sizeof position && e.position.len > 4);
        memcpy(position, e.position.data, e.position.len);
        position[e.position.len] = '\0';
        unsigned n = (unsigned)strtoul(position + 4, NULL, 10);
        assert_true(count == 0 || n > last);
        assert_int_equal(e.time_ms, 1753800000000 + n);
        assert_true(e.sink.len == 5 && e.reason.len == 13 && memcmp(e.reason.data, "bad_timestamp", 13) == 0);
        assert_true(e.full_size - n == e.payload.len || e.payload.len == REJECT_PAYLOAD_MAX);
        for (uint32_t i = 0; i < e.payload.len; i++)
            assert_int_equal(e.payload.data[i], 'a' + (int)(n % 26));
        if (!count && ret_first)
            *ret_first = n;
        last = n;
        count++;
    }
    assert_int_equal(r, 0);
    if (ret_last)
        *ret_last = last;
    if (ret_damaged)
        *ret_damaged = reject_reader_damaged(reader);
    reject_reader_close(reader);
    return count;
}

static void test_append_and_read(void **state)
{
    (void)state;
    struct reject_log *log = open_log(0);
    struct error error;
    assert_int_equal(reject_log_length(log), 0);
    append(log, 0, 0);
    append(log, 1, 100);
    append(log, 2, REJECT_PAYLOAD_MAX + 5000);
    uint64_t length = reject_log_length(log);
    assert_int_equal(reject_log_sync(log, &error), 0);
    assert_int_equal(read_all(NULL, NULL, NULL), 3);
    reject_log_close(log);

    log = open_log(0);
    assert_int_equal(reject_log_length(log), length);
    append(log, 3, 10);
    struct reject_log_stats stats;
    reject_log_get_stats(log, &stats);
    assert_true(stats.appended_total == 1 && stats.failed_total == 0 && stats.torn_total == 0 &&
                stats.segments == 1);
    assert_true(stats.length > length && stats.size_bytes == stats.length + REJECT_SEGMENT_HEADER_SIZE);
    unsigned last;
    assert_int_equal(read_all(NULL, &last, NULL), 4);
    assert_int_equal(last, 3);
    reject_log_close(log);
}

static uint64_t size_on_disk(void)
{
    uint64_t size = 0;
    DIR *d = opendir(dir);
    struct dirent *entry;
    while ((entry = readdir(d))) {
        struct stat st;
        if (entry->d_name[0] != '.' && fstatat(dirfd(d), entry->d_name, &st, 0) == 0)
            size += (uint64_t)st.st_size;
    }
    closedir(d);
    return size;
}

static void test_rotation(void **state)
{
    (void)state;
    struct reject_log *log = open_log(REJECT_LOG_SIZE_MIN);
    struct reject_log_stats stats;
    struct error error;
    uint64_t length = 0;
    for (unsigned n = 0; n < 5000; n++) {
        append(log, n, n % 100 == 0 ? REJECT_PAYLOAD_MAX : 1000);
        assert_true(reject_log_length(log) > length);
        length = reject_log_length(log);
        reject_log_get_stats(log, &stats);
        assert_true(stats.size_bytes <= REJECT_LOG_SIZE_MIN);
        if (n % 1000 == 0) {
            assert_int_equal(stats.size_bytes, size_on_disk());
            assert_int_equal(reject_log_sync(log, &error), 0);
            reject_log_close(log);
            log = open_log(REJECT_LOG_SIZE_MIN);
            assert_int_equal(reject_log_length(log), length);
        }
    }
    reject_log_get_stats(log, &stats);
    assert_int_equal(stats.size_bytes, size_on_disk());
    unsigned first, last;
    unsigned count = read_all(&first, &last, NULL);
    assert_true(count > 500 && last == 4999 && first + count == 5000);
    assert_true(stats.dropped_total > 0 && stats.segments > 4);
    reject_log_close(log);
}

static void last_segment_path(char *ret, size_t size)
{
    uint64_t *starts;
    size_t count;
    char name[REJECT_SEGMENT_NAME_SIZE];
    int fd = open(dir, O_RDONLY | O_DIRECTORY);
    assert_int_equal(reject_segment_list(fd, &starts, &count, NULL), 0);
    assert_true(count > 0);
    reject_segment_name(starts[count - 1], name);
    snprintf(ret, size, "%s/%s", dir, name);
    free(starts);
    close(fd);
}

static void test_torn_tail(void **state)
{
    (void)state;
    char path[256];
    struct reject_log *log = open_log(0);
    append(log, 0, 30);
    append(log, 1, 40);
    uint64_t whole = reject_log_length(log);
    append(log, 2, 50);
    uint64_t full = reject_log_length(log);
    reject_log_close(log);
    last_segment_path(path, sizeof path);
    for (uint64_t size = REJECT_SEGMENT_HEADER_SIZE + full; size-- > REJECT_SEGMENT_HEADER_SIZE + whole;) {
        struct reject_log_stats stats;
        assert_int_equal(truncate(path, (off_t)size), 0);
        assert_int_equal(read_all(NULL, NULL, NULL), 2);
        log = open_log(0);
        assert_int_equal(reject_log_length(log), whole);
        reject_log_get_stats(log, &stats);
        assert_int_equal(stats.torn_total, size > REJECT_SEGMENT_HEADER_SIZE + whole);
        append(log, 2, 50); /* the same again */
        assert_int_equal(reject_log_length(log), full);
        reject_log_close(log);
        assert_int_equal(read_all(NULL, NULL, NULL), 3);
    }
    /* Not even a header: the file goes. */
    assert_int_equal(truncate(path, REJECT_SEGMENT_HEADER_SIZE - 1), 0);
    log = open_log(0);
    assert_int_equal(reject_log_length(log), 0);
    append(log, 7, 5);
    assert_int_equal(read_all(NULL, NULL, NULL), 1);
    reject_log_close(log);
}

static void test_flipped_bits(void **state)
{
    (void)state;
    char path[256];
    struct reject_log *log = open_log(0);
    for (unsigned n = 0; n < 3; n++)
        append(log, n, 20);
    uint64_t size = REJECT_SEGMENT_HEADER_SIZE + reject_log_length(log);
    uint64_t entry_size = reject_log_length(log) / 3;
    reject_log_close(log);
    last_segment_path(path, sizeof path);
    int fd = open(path, O_RDWR);
    for (uint64_t bit = 0; bit < size * 8; bit++) {
        uint8_t byte;
        uint64_t damaged;
        off_t at = (off_t)(bit / 8);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        unsigned want = at < REJECT_SEGMENT_HEADER_SIZE
                            ? 0
                            : (unsigned)((bit / 8 - REJECT_SEGMENT_HEADER_SIZE) / entry_size);
        assert_int_equal(read_all(NULL, NULL, &damaged), want);
        assert_int_equal(damaged, 1);
        byte ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
    assert_int_equal(read_all(NULL, NULL, NULL), 3);
}

/* Back to every length that a commit record may have carried, over several segments; the same entries follow
 * again. */
static void test_cut(void **state)
{
    (void)state;
    enum { COUNT = 100 };
    uint64_t lengths[COUNT + 1] = {0};
    struct error error;
    struct reject_log *log = open_log(REJECT_LOG_SIZE_MIN); /* segments of 128 KiB: 13 entries each */
    for (unsigned n = 0; n < COUNT; n++) {
        append(log, n, 9000);
        lengths[n + 1] = reject_log_length(log);
    }
    for (unsigned keep = COUNT; keep-- > 30;) {
        struct reject_log_stats stats;
        reject_log_close(log);
        log = open_log(REJECT_LOG_SIZE_MIN);
        assert_int_equal(reject_log_length(log), lengths[keep + 2 > COUNT ? COUNT : keep + 2]);
        assert_int_equal(reject_log_cut(log, lengths[keep], &error), 0);
        assert_int_equal(reject_log_length(log), lengths[keep]);
        reject_log_get_stats(log, &stats);
        assert_int_equal(stats.size_bytes, size_on_disk());
        assert_int_equal(read_all(NULL, NULL, NULL), keep);
        append(log, keep, 9000);
        assert_int_equal(reject_log_length(log), lengths[keep + 1]);
        assert_int_equal(read_all(NULL, NULL, NULL), keep + 1);
    }
    /* Several segments at once, then into the middle of an entry: that one goes too, its place stays empty.
     */
    assert_int_equal(reject_log_cut(log, lengths[5], &error), 0);
    assert_int_equal(read_all(NULL, NULL, NULL), 5);
    assert_int_equal(reject_log_cut(log, lengths[3] + 100, &error), 0);
    assert_int_equal(reject_log_length(log), lengths[3] + 100);
    append(log, 50, 10);
    assert_int_equal(read_all(NULL, NULL, NULL), 4);
    /* Beyond the end: bytes that didn't survive. The next entry comes there. */
    uint64_t length = reject_log_length(log) + 12345;
    assert_int_equal(reject_log_cut(log, length, &error), 0);
    append(log, 60, 10);
    assert_true(reject_log_length(log) > length);
    assert_int_equal(read_all(NULL, NULL, NULL), 5);
    reject_log_close(log);
    log = open_log(0);
    assert_int_equal(reject_log_cut(log, length, &error), 0);
    assert_int_equal(read_all(NULL, NULL, NULL), 4);
    append(log, 61, 10);
    assert_int_equal(reject_log_cut(log, 0, &error), 0);
    assert_int_equal(read_all(NULL, NULL, NULL), 0);
    assert_int_equal(size_on_disk(), 0);
    append(log, 1, 10);
    assert_int_equal(read_all(NULL, NULL, NULL), 1);
    reject_log_close(log);
}

/* Below what rotation left: all go, the length is kept. */
static void test_cut_below_the_oldest(void **state)
{
    (void)state;
    struct error error;
    struct reject_log *log = open_log(REJECT_LOG_SIZE_MIN);
    append(log, 0, 1000);
    uint64_t length = reject_log_length(log);
    for (unsigned n = 1; n < 3000; n++)
        append(log, n, 1000);
    assert_int_equal(reject_log_cut(log, length, &error), 0);
    assert_int_equal(read_all(NULL, NULL, NULL), 0);
    append(log, 1, 1000);
    assert_int_equal(reject_log_length(log), 2 * length);
    reject_log_close(log);
    log = open_log(REJECT_LOG_SIZE_MIN);
    assert_int_equal(reject_log_length(log), 2 * length);
    reject_log_close(log);
}

/* The file system takes no more: entries are lost and counted, no half of one stays, and it goes on
 * afterwards. */
static void test_full_disk(void **state)
{
    (void)state;
    struct reject_log *log = open_log(0);
    struct reject_log_stats stats;
    struct rlimit old, limit;
    for (unsigned n = 0; n < 5; n++)
        append(log, n, 1000);
    uint64_t length = reject_log_length(log);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    limit = old;
    limit.rlim_cur = REJECT_SEGMENT_HEADER_SIZE + length + 500;
    setrlimit(RLIMIT_FSIZE, &limit);
    append(log, 5, 1000);
    append(log, 6, 1000);
    setrlimit(RLIMIT_FSIZE, &old);
    reject_log_get_stats(log, &stats);
    assert_true(stats.failed_total == 2 && stats.appended_total == 5 && stats.length == length);
    assert_int_equal(stats.size_bytes, size_on_disk());
    append(log, 7, 1000);
    unsigned last;
    uint64_t damaged;
    assert_int_equal(read_all(NULL, &last, &damaged), 6);
    assert_true(last == 7 && damaged == 0);

    /* No file can be made at all. */
    reject_log_cut(log, 0, NULL);
    limit.rlim_cur = 0;
    setrlimit(RLIMIT_FSIZE, &limit);
    append(log, 8, 10);
    setrlimit(RLIMIT_FSIZE, &old);
    append(log, 9, 10);
    assert_int_equal(read_all(NULL, NULL, NULL), 1);
    reject_log_close(log);
}

enum { THREADS = 4, EACH = 500 };

static void *appender(void *arg)
{
    struct reject_log *log = arg;
    for (unsigned n = 0; n < EACH; n++) {
        reject_log_append(log, &(struct reject_entry){.payload = text("same"), .full_size = 4});
        if (n % 50 == 0)
            (void)reject_log_sync(log, NULL);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct reject_log *log = open_log(REJECT_LOG_SIZE_MIN);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, appender, log), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct reject_reader *reader;
    struct reject_entry e;
    uint64_t count = 0;
    assert_int_equal(reject_reader_open(dir, &reader, NULL), 0);
    while (reject_reader_next(reader, &e, NULL) == 1)
        assert_int_equal(e.sequence, count++);
    assert_int_equal(count, THREADS * EACH);
    reject_reader_close(reader);
    reject_log_close(log);
}

static void test_open_errors(void **state)
{
    (void)state;
    struct reject_log *log;
    struct reject_reader *reader;
    struct error error;
    assert_true(reject_log_open("/nowhere/at/all", 0, &log, &error) < 0);
    assert_non_null(strstr(error.message, "/nowhere/at/all"));
    assert_int_equal(reject_reader_open("/nowhere/at/all", &reader, &error), ERR_NOT_FOUND);
    uint64_t start;
    assert_false(reject_segment_parse_name("0000000000000000.reject", &start));
    assert_false(reject_segment_parse_name("000000000000000G.rejects", &start));
    assert_true(reject_segment_parse_name("00000000000000ff.rejects", &start) && start == 255);
}

static void surroundings_are_kept(void **state)
{
    (void)state;
    static const struct {
        int64_t time_ms;
        const char *key;
        size_t more;
    } cases[] = {
        {0, "", 0}, {1753800000123, "", 8}, {0, "k", 9}, {1753800000123, "device-7", 16}, {-1, "", 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reject_entry e = {.sink = text("plant"),
                                 .position = text("t/0@1"),
                                 .reason = text("bad"),
                                 .payload = text("xyz"),
                                 .full_size = 3,
                                 .record_time_ms = cases[i].time_ms,
                                 .key = text(cases[i].key)},
                            got;
        struct buffer b = {0};
        reject_entry_append(&b, &e);
        assert_int_equal(b.len, REJECT_ENTRY_HEADER_SIZE + 5 + 5 + 3 + 3 + cases[i].more);
        assert_int_equal(reject_entry_parse(b.data, b.len, 0, &got), b.len);
        assert_int_equal(got.record_time_ms, cases[i].time_ms);
        assert_true(got.key.len == strlen(cases[i].key) &&
                    !memcmp(got.key.data ? got.key.data : "", cases[i].key, got.key.len));
        assert_true(got.payload.len == 3 && !memcmp(got.payload.data, "xyz", 3));
        for (size_t cut = 0; cut < b.len; cut++)
            assert_int_equal(reject_entry_parse(b.data, cut, 0, &got), 0);
        buffer_release(&b);
    }
}

static void segments_that_were_dealt_with_go(void **state)
{
    (void)state;
    struct reject_log *log;
    struct reject_log_stats stats;
    struct error error;
    uint64_t ends[60];
    assert_int_equal(reject_log_open(dir, REJECT_LOG_SIZE_MIN, &log, &error), 0);
    reject_log_keep_all(log);
    for (unsigned n = 0; n < 60; n++) { /* twice as much as it may hold */
        append(log, n, 40000);
        ends[n] = reject_log_length(log);
    }
    unsigned first, last;
    assert_int_equal(read_all(&first, &last, NULL), 60);
    reject_log_drop_before(log, 0);
    assert_int_equal(read_all(&first, &last, NULL), 60);
    reject_log_drop_before(log, ends[29]);
    assert_true(read_all(&first, &last, NULL) >= 30);
    assert_true(first > 24 && first <= 30 && last == 59); /* whole segments only */
    reject_log_drop_before(log, UINT64_MAX);
    assert_true(read_all(&first, &last, NULL) > 0); /* the last one stays */
    assert_int_equal(last, 59);
    append(log, 60, 40000);
    reject_log_get_stats(log, &stats);
    assert_int_equal(stats.dropped_total, 0);
    reject_log_close(log);
    assert_int_equal(reject_log_open(dir, REJECT_LOG_SIZE_MIN, &log, &error), 0);
    assert_true(reject_log_length(log) > ends[59]);
    reject_log_close(log);
    (void)read_all(&first, &last, NULL);
    assert_int_equal(last, 60);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_append_and_read),
        TEST(test_rotation),
        TEST(test_torn_tail),
        TEST(test_flipped_bits),
        TEST(test_cut),
        TEST(test_cut_below_the_oldest),
        TEST(test_full_disk),
        TEST(test_threads),
        TEST(test_open_errors),
        TEST(surroundings_are_kept),
        TEST(segments_that_were_dealt_with_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
