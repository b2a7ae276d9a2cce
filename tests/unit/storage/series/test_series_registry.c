#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/thread.h"
#include "storage/part/inmemory_part.h"
#include "storage/series/series_registry.h"
#include "storage/series/series_set.h"
#include "tests/unit/storage/mergeset/item_fixture.h"

static size_t make_name(char *name, size_t size, unsigned i)
{
    int n = snprintf(name, size, "group%u\1job\1j%u\1instance\1i%u\1", i % 7, i % 31, i);
    return (size_t)n;
}

static uint32_t add(struct series_registry *reg, unsigned i, int expected)
{
    char name[100];
    size_t len = make_name(name, sizeof name, i);
    uint32_t handle;
    struct error err;
    uint64_t hash = series_name_hash((const uint8_t *)name, len);
    assert_int_equal(series_registry_add(reg, (const uint8_t *)name, len, hash, NULL, &handle, &err),
                     expected);
    return handle;
}

static void check_ranks(struct series_registry *reg, const struct series_ranks_snapshot *ranks)
{
    for (size_t i = 0; i < ranks->count; i++) {
        if (i > 0)
            assert_true(tsid_compare(&ranks->tsid_by_rank[i - 1], &ranks->tsid_by_rank[i]) < 0);
        uint32_t series = ranks->series_by_rank[i];
        assert_int_equal(ranks->rank_by_series[series], i);
        struct tsid tsid = series_registry_tsid(reg, series);
        assert_true(tsid_equal(&tsid, &ranks->tsid_by_rank[i]));
    }
}

static void test_find_and_add(void **state)
{
    (void)state;
    struct series_registry *reg = series_registry_new(1000);
    uint32_t handle;
    struct error err;
    assert_false(series_registry_find(reg, (const uint8_t *)"m\1", 2,
                                      series_name_hash((const uint8_t *)"m\1", 2), &handle));
    for (unsigned i = 0; i < 20000; i++)
        assert_int_equal(add(reg, i, 1), i);
    for (unsigned i = 0; i < 20000; i++) {
        assert_int_equal(add(reg, i, 0), i);
        char name[100];
        size_t len = make_name(name, sizeof name, i);
        assert_true(series_registry_find(reg, (const uint8_t *)name, len,
                                         series_name_hash((const uint8_t *)name, len), &handle));
        assert_int_equal(handle, i);
        struct item kept = series_registry_name(reg, i);
        assert_int_equal(kept.len, len);
        assert_memory_equal(kept.data, name, len);
        assert_int_equal(series_registry_tsid(reg, i).metric_id, 1000 + i);
    }
    assert_int_equal(series_registry_count(reg), 20000);
    assert_int_equal(series_registry_next_metric_id(reg), 21000);

    /* A TSID from the index pushes the next id past its own; a name that isn't one gets none. */
    struct tsid known = {.metric_group_id = 5, .metric_id = 50000};
    assert_int_equal(series_registry_add(reg, (const uint8_t *)"k\1", 2, 1, &known, &handle, &err), 1);
    assert_int_equal(series_registry_next_metric_id(reg), 50001);
    assert_int_equal(series_registry_add(reg, (const uint8_t *)"k", 1, 2, NULL, &handle, &err), ERR_CORRUPT);
    /* Equal hashes, different names. */
    assert_int_equal(series_registry_add(reg, (const uint8_t *)"l\1", 2, 1, NULL, &handle, &err), 1);
    assert_true(series_registry_find(reg, (const uint8_t *)"k\1", 2, 1, &handle));
    assert_int_equal(handle, 20000);
    /* Longer than a chunk of the arena. */
    size_t len = 3 << 20;
    uint8_t *name = xmalloc(len);
    memset(name, 'n', len);
    name[len - 1] = 1;
    assert_int_equal(series_registry_add(reg, name, len, 3, NULL, &handle, &err), 1);
    assert_memory_equal(series_registry_name(reg, handle).data, name, len);
    assert_int_equal(add(reg, 30000, 1), handle + 1);
    assert_true(series_registry_memory(reg) > len);
    free(name);
    series_registry_free(reg);
}

/* A full table is what shows a hole that was closed wrongly. */
static void test_forget(void **state)
{
    (void)state;
    enum { NAMES = 5000 };
    struct series_registry *reg = series_registry_new(1000);
    uint32_t handle;
    for (unsigned i = 0; i < NAMES; i++)
        add(reg, i, 1);
    for (unsigned i = 0; i < NAMES; i += 3) {
        char name[100];
        size_t len = make_name(name, sizeof name, i);
        uint64_t hash = series_name_hash((const uint8_t *)name, len);
        assert_true(series_registry_forget(reg, (const uint8_t *)name, len, hash, &handle));
        assert_int_equal(handle, i);
        assert_false(series_registry_forget(reg, (const uint8_t *)name, len, hash, &handle));
    }
    for (unsigned i = 0; i < NAMES; i++) {
        if (i % 3)
            assert_int_equal(add(reg, i, 0), i); /* the others are found as before */
        else
            assert_int_equal(add(reg, i, 1), NAMES + i / 3);
    }
    /* The old handle keeps what rows on their way need. */
    assert_int_equal(series_registry_tsid(reg, 3).metric_id, 1003);
    assert_int_equal(series_registry_tsid(reg, NAMES + 1).metric_id, 1000 + NAMES + 1);
    series_registry_free(reg);
}

static void test_ranks(void **state)
{
    (void)state;
    struct random random = {50};
    struct series_registry *reg = series_registry_new(1);
    struct series_ranks_snapshot *ranks, *again;
    series_registry_ranks(reg, &ranks);
    assert_int_equal(ranks->count, 0);
    (void)series_ranks_unref(ranks);
    unsigned next = 0;
    for (int round = 0; round < 40; round++) {
        for (size_t n = random_below(&random, round % 8 == 0 ? 5000 : 50); n > 0; n--)
            add(reg, next++, 1);
        series_registry_ranks(reg, &ranks);
        assert_int_equal(ranks->count, next);
        check_ranks(reg, ranks);
        series_registry_ranks(reg, &again);
        assert_ptr_equal(ranks, again); /* nothing was added */
        (void)series_ranks_unref(again);
        (void)series_ranks_unref(ranks);
    }
    /* It can be passed on as what parts take. */
    _Static_assert(offsetof(struct series_ranks_snapshot, rank_by_series) ==
                           offsetof(struct series_ranks, rank_by_series) &&
                       offsetof(struct series_ranks_snapshot, tsid_by_rank) ==
                           offsetof(struct series_ranks, tsid_by_rank) &&
                       offsetof(struct series_ranks_snapshot, count) == offsetof(struct series_ranks, count),
                   "layout");
    series_registry_free(reg);
}

#define THREADS    4
#define PER_THREAD 3000

struct worker {
    struct series_registry *reg;
    unsigned first;
};

/* Half of each worker's series are the next one's, too. */
static void work(void *arg)
{
    struct worker *w = arg;
    for (unsigned i = 0; i < PER_THREAD; i++) {
        char name[100];
        size_t len = make_name(name, sizeof name, w->first + i);
        uint64_t hash = series_name_hash((const uint8_t *)name, len);
        uint32_t handle, found;
        struct error err;
        if (series_registry_add(w->reg, (const uint8_t *)name, len, hash, NULL, &handle, &err) < 0 ||
            !series_registry_find(w->reg, (const uint8_t *)name, len, hash, &found) || found != handle)
            abort();
        struct item kept = series_registry_name(w->reg, handle);
        if (kept.len != len || memcmp(kept.data, name, len) != 0)
            abort();
        if (i % 500 == 0) {
            struct series_ranks_snapshot *ranks;
            series_registry_ranks(w->reg, &ranks);
            if (ranks->count <= handle || ranks->series_by_rank[ranks->rank_by_series[handle]] != handle)
                abort();
            (void)series_ranks_unref(ranks);
        }
    }
}

static void test_threads(void **state)
{
    (void)state;
    struct series_registry *reg = series_registry_new(1);
    struct thread threads[THREADS] = {0};
    struct worker workers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){reg, i * PER_THREAD / 2};
        thread_start(&threads[i], "registry", work, &workers[i]);
    }
    for (unsigned i = 0; i < THREADS; i++)
        thread_join(&threads[i]);
    assert_int_equal(series_registry_count(reg), (THREADS + 1) * PER_THREAD / 2);
    struct series_ranks_snapshot *ranks;
    series_registry_ranks(reg, &ranks);
    check_ranks(reg, ranks);
    (void)series_ranks_unref(ranks);
    series_registry_free(reg);
}

static void test_series_set(void **state)
{
    (void)state;
    struct random random = {51};
    struct series_set set = {0};
    static bool model[100000];
    memset(model, 0, sizeof model);
    size_t count = 0;
    assert_false(series_set_has(&set, 12345));
    assert_false(series_set_remove(&set, 12345));
    for (int i = 0; i < 50000; i++) {
        uint32_t handle = (uint32_t)random_below(&random, 100000);
        if (random_below(&random, 4)) {
            assert_int_equal(series_set_add(&set, handle), !model[handle]);
            count += !model[handle];
            model[handle] = true;
        } else {
            assert_int_equal(series_set_remove(&set, handle), model[handle]);
            count -= model[handle];
            model[handle] = false;
        }
        assert_int_equal(set.count, count);
    }
    for (uint32_t i = 0; i < 100000; i++)
        assert_int_equal(series_set_has(&set, i), model[i]);
    assert_true(series_set_memory(&set) >= 100000 / 8);
    series_set_release(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_and_add), cmocka_unit_test(test_forget),     cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_threads),      cmocka_unit_test(test_series_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
