#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/thread.h"
#include "storage/part/raw_rows.h"

static void fill(struct raw_rows *rows, size_t n, int64_t first)
{
    for (size_t i = 0; i < n; i++)
        raw_rows_append(rows, (uint32_t)i, first + (int64_t)i, -(int64_t)i, (int16_t)(i % 7));
}

/* Checks that the rows' timestamps are first, first + 1... */
static void counts_up(const struct raw_rows *rows, size_t n, int64_t first)
{
    size_t seen = 0;
    for (const struct raw_rows_chunk *c = rows->first; c; c = c->next)
        for (size_t i = 0; i < c->count; i++)
            assert_int_equal(c->rows[i].timestamp, first + (int64_t)seen++);
    assert_int_equal(seen, n);
    assert_int_equal(raw_rows_count(rows), n);
}

static void appends_over_chunks(void **state)
{
    (void)state;
    struct raw_rows rows = {0};
    assert_int_equal(raw_rows_count(&rows), 0);
    assert_int_equal(raw_rows_memory_bytes(&rows), 0);
    fill(&rows, 3 * RAW_ROWS_CHUNK + 5, 10);
    counts_up(&rows, 3 * RAW_ROWS_CHUNK + 5, 10);
    assert_int_equal(raw_rows_memory_bytes(&rows), 4 * sizeof(struct raw_rows_chunk));
    assert_int_equal(rows.last->rows[4].exponent, (3 * RAW_ROWS_CHUNK + 4) % 7);
    raw_rows_release(&rows);
    assert_int_equal(raw_rows_count(&rows), 0);
    raw_rows_release(&rows);
}

static void moves_keep_the_order(void **state)
{
    (void)state;
    struct raw_rows a = {0}, b = {0};
    raw_rows_move(&a, &b);
    assert_int_equal(raw_rows_count(&a), 0);
    fill(&b, 20000, 0);
    raw_rows_move(&a, &b); /* into an empty list */
    assert_int_equal(raw_rows_count(&b), 0);
    fill(&b, 17000, 20000);
    raw_rows_move(&a, &b);
    raw_rows_move(&a, &b);
    fill(&a, 100, 37000); /* and go on appending */
    counts_up(&a, 37100, 0);
    raw_rows_release(&a);
}

static void one_thread(void *arg)
{
    for (int turn = 0; turn < 20; turn++) {
        struct raw_rows rows = {0};
        fill(&rows, 50000, *(int64_t *)arg);
        counts_up(&rows, 50000, *(int64_t *)arg);
        raw_rows_release(&rows);
    }
}

static void threads_share_the_free_chunks(void **state)
{
    (void)state;
    struct thread threads[4] = {0};
    int64_t first[4] = {0, 1, 2, 3};
    for (int i = 0; i < 4; i++)
        thread_start(&threads[i], "rows", one_thread, &first[i]);
    for (int i = 0; i < 4; i++)
        thread_join(&threads[i]);
    struct raw_rows many = {0}; /* more than is kept */
    fill(&many, 100 * RAW_ROWS_CHUNK, 0);
    raw_rows_release(&many);
    raw_rows_trim();
    raw_rows_trim();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_over_chunks),
        cmocka_unit_test(moves_keep_the_order),
        cmocka_unit_test(threads_share_the_free_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
