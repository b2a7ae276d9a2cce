#include "tests/unit/storage/commit/commit_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"

const uint8_t store_id[STORE_ID_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
const uint8_t other_id[STORE_ID_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17};

void set_position(struct position_table *table, const char *key, uint64_t next, uint8_t mark_len)
{
    struct storage_position position = {.next = next, .mark_len = mark_len};
    for (int i = 0; i < mark_len; i++)
        position.mark[i] = (uint8_t)(next + (uint64_t)i);
    position_table_set(table, key, (uint32_t)strlen(key), &position);
}

void assert_same_positions(const struct position_table *a, const struct position_table *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        const struct position_entry *x = &a->entries[i], *y = &b->entries[i];
        assert_int_equal(x->key_len, y->key_len);
        assert_memory_equal(x->key, y->key, x->key_len);
        assert_true(x->position.next == y->position.next);
        assert_int_equal(x->position.mark_len, y->position.mark_len);
        assert_memory_equal(x->position.mark, y->position.mark, x->position.mark_len);
    }
}

void fill_record(struct commit_record *record, uint64_t n, uint64_t published)
{
    record->n = n;
    record->published = published;
    record->time_ms = (int64_t)n * 1000;
    record->reject_log_length = n * 7;
    set_position(&record->positions, "src", n, 3);
}

void assert_same_record(const struct commit_record *a, const struct commit_record *b)
{
    assert_true(a->n == b->n && a->published == b->published && a->time_ms == b->time_ms);
    assert_true(a->reject_log_length == b->reject_log_length);
    assert_int_equal(a->parts_count, b->parts_count);
    for (size_t i = 0; i < a->parts_count; i++) {
        assert_int_equal(a->parts[i].place, b->parts[i].place);
        assert_string_equal(a->parts[i].month, b->parts[i].month);
        assert_string_equal(a->parts[i].name, b->parts[i].name);
    }
    assert_same_positions(&a->positions, &b->positions);
}

void append_commit(struct journal *j, uint64_t n, uint64_t published, const char *part)
{
    struct commit_record record = {0};
    struct error error = {0};
    fill_record(&record, n, published);
    if (part)
        commit_record_add_part(&record, PLACE_SMALL, MONTH, part);
    if (journal_append(j, &record, &error) < 0)
        fail_msg("journal_append: %s", error.message);
    commit_record_release(&record);
}

void make_dir(const char *root, const char *path)
{
    _cleanup_free_ char *full = xasprintf("%s/%s", root, path);
    assert_int_equal(fs_make_dirs(&fs_posix, full, false, NULL), 0);
}

void make_file(const char *root, const char *path, const char *text)
{
    _cleanup_free_ char *full = xasprintf("%s/%s", root, path);
    _cleanup_free_ char *parent = xstrdup(full);
    *strrchr(parent, '/') = '\0';
    assert_int_equal(fs_make_dirs(&fs_posix, parent, false, NULL), 0);
    assert_int_equal(fs_replace_file(&fs_posix, full, text, strlen(text), NULL), 0);
}

bool exists(const char *root, const char *path)
{
    _cleanup_free_ char *full = xasprintf("%s/%s", root, path);
    return fs_exists(full);
}

void assert_text(const char *root, const char *path, const char *text)
{
    _cleanup_free_ char *full = xasprintf("%s/%s", root, path);
    struct buffer content = {0};
    assert_int_equal(fs_read_file(full, 65536, &content, NULL), 0);
    assert_string_equal(buffer_cstr(&content), text);
    buffer_release(&content);
}
