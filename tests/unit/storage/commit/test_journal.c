/* The redo journal: round trips, torn and damaged files, and appends that fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/endian.h"
#include "tests/doubles/fault_fs.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/commit/commit_fixture.h"

#define HEADER_BYTES 64
#define FRAME_BYTES  16

static struct journal create(const struct fs *fs, const char *path, uint64_t base_n)
{
    struct journal j;
    struct error error = {0};
    if (journal_create(&j, fs, path, store_id, base_n, &error) < 0)
        fail_msg("journal_create: %s", error.message);
    return j;
}

/* The file holds commits first..last as append_commit made them. */
static void assert_commits(const char *path, uint64_t first, uint64_t last)
{
    struct journal_records records = {0};
    struct error error = {0};
    if (journal_read(&records, path, store_id, &error) < 0)
        fail_msg("journal_read: %s", error.message);
    assert_int_equal(records.count, last + 1 - first);
    for (size_t i = 0; i < records.count; i++) {
        struct commit_record expected = {0};
        fill_record(&expected, first + i, first + i - 1);
        assert_same_record(&records.records[i], &expected);
        commit_record_release(&expected);
    }
    journal_records_release(&records);
}

static void append(struct journal *j, uint64_t first, uint64_t last)
{
    for (uint64_t n = first; n <= last; n++)
        append_commit(j, n, n - 1, NULL);
}

static void records_are_read_as_they_were_appended_also_after_a_rewrite(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    _cleanup_free_ char *path = xasprintf("%s/journal", dir);
    struct journal j = create(&fs_posix, path, 4);
    assert_commits(path, 5, 4);
    append(&j, 5, 9);
    assert_int_equal(fs_file_size(path), JOURNAL_SIZE_MIN); /* preallocated */
    assert_commits(path, 5, 9);
    journal_release(&j);

    struct journal_records records = {0};
    assert_int_equal(journal_read(&records, path, store_id, NULL), 0);
    assert_int_equal(journal_rewrite(&records, &fs_posix, path, NULL), 0);
    journal_records_release(&records);
    assert_commits(path, 5, 9);

    j = create(&fs_posix, path, 9); /* in place of what is there */
    assert_commits(path, 10, 9);
    journal_release(&j);
    temp_dir_remove(dir);
}

static void a_record_that_only_says_what_was_published_repeats_the_number(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    _cleanup_free_ char *path = xasprintf("%s/journal", dir);
    struct journal j = create(&fs_posix, path, 0);
    append_commit(&j, 1, 0, NULL);
    append_commit(&j, 1, 1, NULL);
    struct journal_records records = {0};
    assert_int_equal(journal_read(&records, path, store_id, NULL), 0);
    assert_int_equal(records.count, 2);
    assert_true(records.records[1].published == 1);
    journal_records_release(&records);
    journal_release(&j);

    for (int i = 0; i < 2; i++) { /* backwards, and published before it's made */
        struct error error = {0};
        j = create(&fs_posix, path, 6);
        append_commit(&j, 7, 6, NULL);
        append_commit(&j, i ? 8 : 6, i ? 9 : 6, NULL);
        assert_int_equal(journal_read(&records, path, store_id, &error), ERR_CORRUPT);
        assert_non_null(strstr(error.message, path));
        journal_release(&j);
    }
    temp_dir_remove(dir);
}

/* Bytes of a journal of two commits; *ret_second: where the second begins. The caller frees. */
static struct buffer two_commits(size_t *ret_second)
{
    char *dir = TEMP_DIR();
    _cleanup_free_ char *path = xasprintf("%s/journal", dir);
    struct journal j = create(&fs_posix, path, 0);
    append_commit(&j, 1, 0, "00000000000000A1");
    *ret_second = j.content.len;
    append_commit(&j, 2, 1, "00000000000000A2");
    struct buffer bytes = {0};
    buffer_append(&bytes, j.content.data, j.content.len);
    journal_release(&j);
    temp_dir_remove(dir);
    return bytes;
}

static void expect_records(const uint8_t *data, size_t size, size_t count)
{
    struct journal_records records = {0};
    struct error error = {0};
    uint8_t *copy = xmemdup(data, size);
    if (journal_parse(&records, copy, size, store_id, &error) < 0)
        fail_msg("journal_parse: %s", error.message);
    assert_int_equal(records.count, count);
    for (size_t i = 0; i < count; i++)
        assert_true(records.records[i].n == i + 1);
    assert_true(records.valid.len <= size);
    assert_memory_equal(records.valid.data, data, records.valid.len);
    journal_records_release(&records);
    free(copy);
}

static void a_torn_record_ends_the_journal_wherever_it_is_torn(void **state)
{
    (void)state;
    size_t second;
    struct buffer bytes = two_commits(&second);
    size_t last = bytes.len; /* behind the last byte that isn't zero */
    while (bytes.data[last - 1] == 0)
        last--;
    struct buffer file = {0};
    for (size_t cut = second; cut <= bytes.len; cut++) {
        /* The file is as long as what was written ... */
        expect_records(bytes.data, cut, cut == bytes.len ? 2 : 1);
        /* ... or preallocated, with zeros behind, or with what the disk held before. */
        buffer_clear(&file);
        buffer_append(&file, bytes.data, cut);
        memset(buffer_reserve(&file, 4096), 0, 4096);
        file.len += 4096;
        expect_records(file.data, file.len, cut >= last ? 2 : 1);
        if (cut < last) {
            memset(file.data + cut, bytes.data[cut] ^ 0x5a, 4096);
            expect_records(file.data, file.len, 1);
        }
    }
    /* Sectors may reach the disk in any order: a hole. */
    for (size_t at = second; at < last; at++) {
        if (bytes.data[at] == 0)
            continue;
        uint8_t good = bytes.data[at];
        bytes.data[at] = 0;
        expect_records(bytes.data, bytes.len, 1);
        bytes.data[at] = good;
    }
    buffer_release(&file);
    buffer_release(&bytes);
}

static void a_damaged_record_before_a_valid_one_is_damage(void **state)
{
    (void)state;
    size_t second;
    struct buffer bytes = two_commits(&second);
    size_t payload = get_le32(bytes.data + HEADER_BYTES + 4);
    for (size_t at = HEADER_BYTES; at < HEADER_BYTES + FRAME_BYTES + payload; at++) {
        struct journal_records records = {0};
        struct error error = {0};
        if (at >= HEADER_BYTES + 12 && at < HEADER_BYTES + FRAME_BYTES)
            continue; /* reserved */
        bytes.data[at] ^= 0x10;
        assert_int_equal(journal_parse(&records, bytes.data, bytes.len, store_id, &error), ERR_CORRUPT);
        assert_non_null(strstr(error.message, "byte 64 is damaged"));
        assert_null(records.records);
        bytes.data[at] ^= 0x10;
    }
    buffer_release(&bytes);
}

static void a_foreign_or_damaged_header_is_refused(void **state)
{
    (void)state;
    size_t second;
    struct buffer bytes = two_commits(&second);
    struct journal_records records = {0};
    struct error error = {0};
    assert_int_equal(journal_parse(&records, bytes.data, bytes.len, other_id, &error), ERR_CORRUPT);
    assert_non_null(strstr(error.message, "another store"));
    for (size_t size = 0; size < HEADER_BYTES; size++) {
        uint8_t *cut = malloc(size ? size : 1);
        memcpy(cut, bytes.data, size);
        assert_int_equal(journal_parse(&records, cut, size, store_id, NULL), ERR_CORRUPT);
        free(cut);
    }
    for (size_t at = 0; at < 36; at++) {
        bytes.data[at] ^= 1;
        assert_int_equal(journal_parse(&records, bytes.data, bytes.len, store_id, NULL), ERR_CORRUPT);
        bytes.data[at] ^= 1;
    }
    buffer_release(&bytes);
    assert_int_equal(journal_read(&records, "/nonexistent/journal", store_id, NULL), ERR_NOT_FOUND);
}

static void a_failed_append_leaves_a_fresh_journal_without_the_record(void **state)
{
    (void)state;
    static const struct {
        enum fault_kind kind;
        long operation; /* of the append: 1 write, 2 sync */
        int code;
    } faults[] = {{FAULT_IO, 1, ERR_IO},
                  {FAULT_SHORT_WRITE, 1, ERR_IO},
                  {FAULT_FULL, 1, ERR_FULL},
                  {FAULT_FULL, 2, ERR_FULL},
                  {FAULT_IO, 2, ERR_IO}};
    char *dir = TEMP_DIR();
    _cleanup_free_ char *path = xasprintf("%s/journal", dir);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct fault_fs ffs;
        fault_fs_init(&ffs, faults[i].kind, 0);
        struct journal j = create(&ffs.fs, path, 0);
        append(&j, 1, 3);
        ffs.at = atomic_load(&ffs.operations) + faults[i].operation;
        struct commit_record record = {0};
        struct error error = {0};
        fill_record(&record, 4, 3);
        commit_record_add_part(&record, PLACE_BIG, MONTH, "00000000000000A4"); /* never to be seen */
        assert_int_equal(journal_append(&j, &record, &error), faults[i].code);
        assert_false(j.fate_open);
        commit_record_release(&record);
        assert_int_equal(atomic_load(&ffs.faults), 1);
        assert_commits(path, 1, 3);
        append(&j, 4, 5); /* and it goes on, in the file that is there */
        assert_commits(path, 1, 5);
        journal_release(&j);
    }
    temp_dir_remove(dir);
}

static void when_the_fresh_journal_fails_too_the_fate_is_open(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    _cleanup_free_ char *path = xasprintf("%s/journal", dir);
    struct fault_fs ffs;
    fault_fs_init(&ffs, FAULT_FULL_FOR, 1000000);
    ffs.length = 1000;
    struct journal j = create(&ffs.fs, path, 0);
    append(&j, 1, 2);
    ffs.at = atomic_load(&ffs.operations) + 1;
    struct commit_record record = {0};
    struct error error = {0};
    fill_record(&record, 3, 2);
    assert_int_equal(journal_append(&j, &record, &error), ERR_FULL);
    assert_true(j.fate_open);
    assert_non_null(strstr(error.message, path));
    commit_record_release(&record);
    assert_commits(path, 1, 2);
    /* A full disk is waited out; then the record's fate is that it never was. */
    assert_int_equal(journal_settle(&j, &error), ERR_FULL);
    assert_true(j.fate_open);
    ffs.at = 1000000;
    assert_int_equal(journal_settle(&j, &error), 0);
    assert_false(j.fate_open);
    append(&j, 3, 4);
    journal_release(&j);
    assert_commits(path, 1, 4);
    temp_dir_remove(dir);
}

static void a_record_can_be_withdrawn(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    _cleanup_free_ char *path = xasprintf("%s/journal", dir);
    struct journal j = create(&fs_posix, path, 0);
    struct error error = {0};
    append(&j, 1, 3);
    assert_int_equal(journal_withdraw(&j, &error), 0);
    assert_commits(path, 1, 2);
    append(&j, 3, 5);
    assert_commits(path, 1, 5);
    journal_release(&j);
    temp_dir_remove(dir);
}

/* Each step of a rewrite may fail: what is there before it, or after it, is whole. */
static void a_failed_rewrite_leaves_the_old_journal(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    _cleanup_free_ char *path = xasprintf("%s/journal", dir);
    struct journal j = create(&fs_posix, path, 0);
    append(&j, 1, 3);
    journal_release(&j);
    struct journal_records records = {0};
    assert_int_equal(journal_read(&records, path, store_id, NULL), 0);
    long at = 1;
    for (;; at++) {
        struct fault_fs ffs;
        fault_fs_init(&ffs, FAULT_IO, at);
        int r = journal_rewrite(&records, &ffs.fs, path, NULL);
        assert_int_equal(r, atomic_load(&ffs.faults) ? ERR_IO : 0);
        assert_commits(path, 1, 3);
        if (r == 0)
            break;
    }
    assert_true(at > 6);
    journal_records_release(&records);
    temp_dir_remove(dir);
}

static void it_grows_beyond_what_was_reserved(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    _cleanup_free_ char *path = xasprintf("%s/journal", dir);
    struct journal j = create(&fs_posix, path, 0);
    char key[4001];
    memset(key, 'k', sizeof key);
    key[4000] = '\0';
    uint64_t n = 0;
    while (j.content.len < 3 * JOURNAL_SIZE_MIN) {
        struct commit_record record = {0};
        struct error error = {0};
        record.n = ++n;
        record.published = n - 1;
        for (int i = 0; i < 50; i++) { /* 200 KB */
            key[0] = (char)('0' + i);
            set_position(&record.positions, key, n, 64);
        }
        assert_int_equal(journal_append(&j, &record, &error), 0);
        commit_record_release(&record);
        assert_true(j.capacity >= j.content.len);
        assert_int_equal(fs_file_size(path), j.capacity);
        assert_int_equal(journal_wants_fold(&j), j.content.len > j.capacity / 2);
    }
    journal_release(&j);
    struct journal_records records = {0};
    assert_int_equal(journal_read(&records, path, store_id, NULL), 0);
    assert_int_equal(records.count, n);
    for (uint64_t i = 0; i < n; i++) {
        assert_true(records.records[i].n == i + 1);
        assert_int_equal(records.records[i].positions.count, 50);
    }
    assert_int_equal(journal_rewrite(&records, &fs_posix, path, NULL), 0);
    journal_records_release(&records);
    assert_int_equal(journal_read(&records, path, store_id, NULL), 0);
    assert_int_equal(records.count, n);
    journal_records_release(&records);
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_read_as_they_were_appended_also_after_a_rewrite),
        cmocka_unit_test(a_record_that_only_says_what_was_published_repeats_the_number),
        cmocka_unit_test(a_torn_record_ends_the_journal_wherever_it_is_torn),
        cmocka_unit_test(a_damaged_record_before_a_valid_one_is_damage),
        cmocka_unit_test(a_foreign_or_damaged_header_is_refused),
        cmocka_unit_test(a_failed_append_leaves_a_fresh_journal_without_the_record),
        cmocka_unit_test(when_the_fresh_journal_fails_too_the_fate_is_open),
        cmocka_unit_test(a_record_can_be_withdrawn),
        cmocka_unit_test(a_failed_rewrite_leaves_the_old_journal),
        cmocka_unit_test(it_grows_beyond_what_was_reserved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
