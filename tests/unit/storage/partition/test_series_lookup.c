/* Labels -> series, and the index rows that make it findable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/clock.h"
#include "src/base/thread.h"
#include "storage/mergeset/inmemory_item_part.h"
#include "storage/mergeset/item_search.h"
#include "storage/series/index_items.h"
#include "storage/series/index_row.h"
#include "storage/storage_impl.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/partition/partition_fixture.h"
#include "tests/unit/storage/store/store_fixture.h"

/* Index rows of a month by kind, tag rows counted by their ids; doubles included. */
static void count_rows(struct partition_world *world, int64_t timestamp_ms, unsigned kinds[INDEX_KINDS])
{
    struct partition *pt = create_partition(&world->table, timestamp_ms);
    partition_flush_index_rows(pt);
    struct part_list parts = {0};
    struct error error = {0};
    memset(kinds, 0, INDEX_KINDS * sizeof *kinds);
    part_set_pin(&pt->index, &parts, NULL, NULL);
    for (size_t i = 0; i < parts.count; i++) {
        struct item_source source = part_item_source(parts.parts[i]);
        struct item_search search;
        item_search_init(&search, &source, 1);
        int r = item_search_seek(&search, "", 0, &error);
        while (r >= 0 && (r = item_search_next(&search, &error)) == 1) {
            struct index_row row;
            assert_int_equal(index_row_parse(&row, search.item, &error), 0);
            kinds[row.kind] += row.ids_count ? (unsigned)row.ids_count : 1;
        }
        assert_int_equal(r, 0);
        item_search_release(&search);
    }
    part_list_release(&parts);
}

static void assert_rows(struct partition_world *world, int64_t timestamp_ms, unsigned months, unsigned days)
{
    unsigned kinds[INDEX_KINDS];
    count_rows(world, timestamp_ms, kinds);
    /* m{host=...}: the group, the tag, and the two together. */
    const unsigned expected[INDEX_KINDS] = {0, 3 * months, months, months, 0, days, 3 * days, days};
    for (int kind = 0; kind < INDEX_KINDS; kind++)
        if (kinds[kind] != expected[kind])
            fail_msg("kind %d: %u rows, not %u", kind, kinds[kind], expected[kind]);
}

static void a_new_series_gets_its_rows_of_the_month_and_of_the_day(void **state)
{
    (void)state;
    struct partition_world world;
    world_open(&world, &fs_posix);
    uint32_t a = resolve(&world, "m", "a", LAST_OF_OCTOBER);
    assert_rows(&world, LAST_OF_OCTOBER, 1, 1);
    assert_int_equal(resolve(&world, "m", "a", LAST_OF_OCTOBER + DAY_MS - 1), a);
    assert_rows(&world, LAST_OF_OCTOBER, 1, 1);
    assert_int_equal(resolve(&world, "m", "a", LAST_OF_OCTOBER - 1), a); /* another day, backwards */
    assert_rows(&world, LAST_OF_OCTOBER, 1, 2);
    assert_int_equal(series_lookup_register(world.lookup, a, LAST_OF_OCTOBER - 2 * DAY_MS, NULL), 0);
    assert_int_equal(series_lookup_register(world.lookup, a, LAST_OF_OCTOBER - 2 * DAY_MS, NULL), 0);
    assert_rows(&world, LAST_OF_OCTOBER, 1, 3);
    assert_true(resolve(&world, "m", "b", LAST_OF_OCTOBER) != a);
    assert_rows(&world, LAST_OF_OCTOBER, 2, 4);
    assert_int_equal(series_lookup_new_series(world.lookup), 2);
    world_close(&world);
}

static void a_series_has_one_id_in_all_months(void **state)
{
    (void)state;
    struct partition_world world;
    world_open(&world, &fs_posix);
    uint32_t a = resolve(&world, "m", "a", LAST_OF_OCTOBER);
    assert_int_equal(resolve(&world, "m", "a", FIRST_OF_NOVEMBER), a);
    uint64_t id = metric_id_of(&world, a);
    assert_rows(&world, LAST_OF_OCTOBER, 1, 1);
    assert_rows(&world, FIRST_OF_NOVEMBER, 1, 1);
    assert_int_equal(series_lookup_new_series(world.lookup), 1);

    world_restart(&world); /* the later month first: nothing of the earlier is known then */
    a = resolve(&world, "m", "a", FIRST_OF_NOVEMBER + 5 * DAY_MS);
    assert_int_equal(metric_id_of(&world, a), id);
    assert_int_equal(resolve(&world, "m", "a", LAST_OF_OCTOBER), a);
    assert_int_equal(series_lookup_new_series(world.lookup), 0);
    assert_rows(&world, LAST_OF_OCTOBER, 1, 1);
    assert_rows(&world, FIRST_OF_NOVEMBER, 1, 2);
    world_close(&world);
}

static void a_restart_looks_at_the_day_and_the_latest_one_before_it(void **state)
{
    (void)state;
    struct partition_world world;
    world_open(&world, &fs_posix);
    uint64_t a = metric_id_of(&world, resolve(&world, "m", "a", LAST_OF_OCTOBER - 9 * DAY_MS));
    uint64_t b = metric_id_of(&world, resolve(&world, "m", "b", LAST_OF_OCTOBER - 5 * DAY_MS));
    uint64_t c = metric_id_of(&world, resolve(&world, "m", "c", LAST_OF_OCTOBER));
    count_rows(&world, LAST_OF_OCTOBER, (unsigned[INDEX_KINDS]){0}); /* flushes */
    world_restart(&world);
    assert_int_equal(metric_id_of(&world, resolve(&world, "m", "c", LAST_OF_OCTOBER)), c);
    assert_int_equal(metric_id_of(&world, resolve(&world, "m", "b", LAST_OF_OCTOBER)), b);
    assert_int_equal(series_lookup_new_series(world.lookup), 0);
    /* Forgotten by then: a new id, which is legal. */
    assert_int_not_equal(metric_id_of(&world, resolve(&world, "m", "a", LAST_OF_OCTOBER)), a);
    assert_int_equal(series_lookup_new_series(world.lookup), 1);
    assert_rows(&world, LAST_OF_OCTOBER, 4, 5);
    world_close(&world);
}

static void deleted_ids_are_not_used_again(void **state)
{
    (void)state;
    struct partition_world world;
    world_open(&world, &fs_posix);
    uint64_t a = metric_id_of(&world, resolve(&world, "m", "a", LAST_OF_OCTOBER));
    uint64_t b = metric_id_of(&world, resolve(&world, "m", "b", LAST_OF_OCTOBER));
    struct items rows = {0};
    index_items_add_deleted(&rows, a);
    index_items_add_deleted(&rows, 1);
    index_items_add_deleted(&rows, UINT64_MAX);
    struct partition *pt = create_partition(&world.table, LAST_OF_OCTOBER);
    partition_flush_index_rows(pt);
    part_set_add(&pt->index, part_new_inmemory_items(inmemory_item_part_new(&rows, NULL, NULL)));
    items_release(&rows);
    world_restart(&world);
    uint64_t again = metric_id_of(&world, resolve(&world, "m", "a", LAST_OF_OCTOBER));
    assert_int_not_equal(again, a);
    assert_int_equal(metric_id_of(&world, resolve(&world, "m", "b", LAST_OF_OCTOBER)), b);
    assert_int_equal(series_lookup_new_series(world.lookup), 1);
    partition_flush_index_rows(pt);
    world_restart(&world); /* the new one is found, the deleted one still isn't */
    assert_int_equal(metric_id_of(&world, resolve(&world, "m", "a", LAST_OF_OCTOBER)), again);
    world_close(&world);
}

static void limits_are_refused_with_a_reason_and_leave_nothing(void **state)
{
    (void)state;
    static char text[70000];
    memset(text, 'x', sizeof text);
    struct metric_label many[42];
    char names[42][8];
    for (int i = 0; i < 42; i++) {
        int n = snprintf(names[i], sizeof names[i], "l%d", i);
        many[i] = (struct metric_label){names[i], (uint32_t)n, "v", 1};
    }
    const struct metric_label name = {text, 257, "v", 1}, value = {"l", 1, text, 4097},
                              empty = {"l", 1, "", 0};
    struct metric_label wide[40];
    for (int i = 0; i < 40; i++)
        wide[i] = (struct metric_label){names[i], (uint32_t)strlen(names[i]), text, 4096};
    const struct {
        const struct metric_label *labels;
        size_t count;
        const char *reason;
    } table[] = {
        {many, 42, metric_name_fault_reason(METRIC_NAME_TOO_MANY_LABELS)},
        {&name, 1, metric_name_fault_reason(METRIC_NAME_TOO_LONG_LABEL_NAME)},
        {&value, 1, metric_name_fault_reason(METRIC_NAME_TOO_LONG_LABEL_VALUE)},
        {&empty, 1, metric_name_fault_reason(METRIC_NAME_NO_LABELS)},
        {NULL, 0, metric_name_fault_reason(METRIC_NAME_NO_LABELS)},
        {wide, 40, metric_name_fault_reason(METRIC_NAME_TOO_LONG)},
    };
    struct partition_world world;
    world_open(&world, &fs_posix);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        uint32_t series = 77;
        const char *reason = NULL;
        struct error error = {0};
        assert_int_equal(series_lookup_resolve(world.lookup, table[i].labels, table[i].count,
                                               &metric_name_limits_default, LAST_OF_OCTOBER, &series, &reason,
                                               &error),
                         ERR_INVALID);
        assert_string_equal(reason, table[i].reason);
        assert_int_equal(series, 77);
    }
    assert_int_equal(series_registry_count(world.registry), 0);
    assert_int_equal(series_lookup_new_series(world.lookup), 0);
    assert_int_equal(world.table.count, 0);
    world_close(&world);
}

#define SERIES_OF_ALL 400

struct registrar {
    struct partition_world *world;
    uint32_t series[SERIES_OF_ALL];
    int step;
};

static void register_all(void *arg)
{
    struct registrar *r = arg;
    for (int i = 0; i < SERIES_OF_ALL; i++) {
        char host[16];
        int at = i * r->step % SERIES_OF_ALL;
        snprintf(host, sizeof host, "h%d", at);
        r->series[at] = resolve(r->world, "m", host, LAST_OF_OCTOBER + i % 3 * DAY_MS);
    }
}

static void threads_that_come_at_once_get_one_id(void **state)
{
    (void)state;
    struct partition_world world;
    static struct registrar r[2];
    struct thread threads[2] = {0};
    world_open(&world, &fs_posix);
    for (int i = 0; i < 2; i++) {
        r[i] = (struct registrar){.world = &world, .step = i ? SERIES_OF_ALL - 1 : 1};
        thread_start(&threads[i], "registrar", register_all, &r[i]);
    }
    for (int i = 0; i < 2; i++)
        thread_join(&threads[i]);
    for (int i = 0; i < SERIES_OF_ALL; i++) {
        assert_int_equal(r[0].series[i], r[1].series[i]);
        for (int k = 0; k < i; k++)
            assert_int_not_equal(r[0].series[i], r[0].series[k]);
    }
    assert_int_equal(series_lookup_new_series(world.lookup), SERIES_OF_ALL);
    unsigned kinds[INDEX_KINDS];
    count_rows(&world, LAST_OF_OCTOBER, kinds);
    assert_int_equal(kinds[INDEX_DATE_ID], kinds[INDEX_ID_NAME]); /* October has one day here */
    world_close(&world);
}

struct index_flusher {
    struct partition *pt;
    atomic_bool stop;
};

/* As the store's does: when there is something to build, which takes its time. */
static void flush_much(void *arg)
{
    struct index_flusher *f = arg;
    while (!atomic_load(&f->stop))
        if (atomic_load(&f->pt->env->pending_index_bytes) > 100000)
            partition_flush_index_rows(f->pt);
}

/* Whether a part in the month's index has the row id -> name. */
static bool is_indexed(struct partition *pt, uint64_t metric_id)
{
    struct part_list parts = {0};
    struct buffer prefix = {0};
    bool found = false;
    index_key_number(&prefix, INDEX_ID_NAME, metric_id);
    part_set_pin(&pt->index, &parts, NULL, NULL);
    for (size_t i = 0; i < parts.count && !found; i++) {
        struct item_source source = part_item_source(parts.parts[i]);
        struct item_search search;
        item_search_init(&search, &source, 1);
        found = item_search_first_with_prefix(&search, prefix.data, prefix.len, NULL) == 1;
        item_search_release(&search);
    }
    buffer_release(&prefix);
    part_list_release(&parts);
    return found;
}

/* A commit that came while the other thread had taken the rows and not yet made a part of them would record
 * rows without their index. */
static void after_a_flush_all_is_in_parts_whoever_else_flushes(void **state)
{
    (void)state;
    struct partition_world world;
    world_open(&world, &fs_posix);
    struct index_flusher flusher = {.pt = create_partition(&world.table, LAST_OF_OCTOBER)};
    struct thread thread = {0};
    thread_start(&thread, "flusher", flush_much, &flusher);
    unsigned missing = 0;
    for (int round = 0; round < 100; round++) {
        uint32_t series = 0;
        uint64_t before = 0, pending = 0;
        for (int i = 0; before <= pending; i++) { /* until the other has taken them */
            char host[32];
            before = pending;
            snprintf(host, sizeof host, "h%d-%d", round, i);
            series = resolve(&world, "m", host, LAST_OF_OCTOBER);
            pending = atomic_load(&world.table.env.pending_index_bytes);
        }
        partition_flush_index_rows(flusher.pt);
        missing += !is_indexed(flusher.pt, metric_id_of(&world, series));
    }
    atomic_store(&flusher.stop, true);
    thread_join(&thread);
    assert_int_equal(missing, 0);
    assert_int_equal(atomic_load(&world.table.env.pending_index_bytes), 0);
    world_close(&world);
}

/* --- days with many series --- */

#define MANY 3000

static void resolve_many(struct partition_world *world, int64_t timestamp_ms, int first, int step,
                         uint64_t ids[MANY])
{
    for (int n = 0, i = first; n < MANY; n++, i = (i + step) % MANY) {
        char host[16];
        snprintf(host, sizeof host, "h%d", i);
        uint64_t id = metric_id_of(world, resolve(world, "m", host, timestamp_ms));
        if (ids[i] && ids[i] != id)
            fail_msg("%s was %llu and is %llu", host, (unsigned long long)ids[i], (unsigned long long)id);
        ids[i] = id;
    }
}

static void wait_until_loaded(struct partition_world *world)
{
    for (int i = 0; i < 10000 && series_lookup_is_loading(world->lookup); i++)
        clock_sleep_ms(1);
    assert_false(series_lookup_is_loading(world->lookup));
}

/* A day of which 3,000 series are on disk, or rather in a part, and the next day. */
static void open_with_many(struct partition_world *world, uint64_t ids[MANY])
{
    world_open(world, &fs_posix);
    resolve_many(world, LAST_OF_OCTOBER - DAY_MS, 0, 1, ids);
    partition_flush_index_rows(create_partition(&world->table, LAST_OF_OCTOBER));
    world_restart(world);
}

static void names_are_looked_for_one_by_one_until_their_day_is_loaded(void **state)
{
    (void)state;
    struct partition_world world;
    static uint64_t ids[MANY];
    memset(ids, 0, sizeof ids);
    open_with_many(&world, ids);
    for (size_t at_once = 0; at_once < 3; at_once++) {
        series_lookup_set_loading(world.lookup, at_once * 1000, false);
        resolve_many(&world, LAST_OF_OCTOBER - DAY_MS, 7, 1001, ids);
        assert_rows(&world, LAST_OF_OCTOBER, MANY, MANY); /* nothing was written again */
        assert_true(series_lookup_is_loading(world.lookup));
        assert_int_equal(series_lookup_new_series(world.lookup), 0);
        uint32_t other = resolve(&world, "m", "another", LAST_OF_OCTOBER - DAY_MS);
        assert_int_equal(series_lookup_new_series(world.lookup), 1);
        assert_int_equal(resolve(&world, "m", "another", LAST_OF_OCTOBER - DAY_MS), other);
        series_lookup_set_loading(world.lookup, 0, true);
        wait_until_loaded(&world);
        resolve_many(&world, LAST_OF_OCTOBER - DAY_MS, 0, 1, ids);
        assert_int_equal(series_registry_count(world.registry), MANY + 1);
        if (at_once < 2) { /* "another" wasn't flushed: its rows are lost with a new world */
            world_close(&world);
            memset(ids, 0, sizeof ids);
            open_with_many(&world, ids);
        }
    }
    world_close(&world);
}

static void the_day_before_is_looked_into_as_well(void **state)
{
    (void)state;
    struct partition_world world;
    static uint64_t ids[MANY];
    memset(ids, 0, sizeof ids);
    open_with_many(&world, ids);
    series_lookup_set_loading(world.lookup, 0, false);
    uint32_t a = resolve(&world, "m", "h5", LAST_OF_OCTOBER);
    assert_int_equal(metric_id_of(&world, a), ids[5]);
    /* Known by its handle, and registered on a day that isn't loaded. */
    assert_int_equal(series_lookup_register(world.lookup, a, LAST_OF_OCTOBER - DAY_MS, NULL), 0);
    assert_rows(&world, LAST_OF_OCTOBER, MANY, MANY + 1);
    series_lookup_set_loading(world.lookup, 0, true);
    wait_until_loaded(&world);
    resolve_many(&world, LAST_OF_OCTOBER, 0, 1, ids);
    assert_int_equal(series_lookup_new_series(world.lookup), 0);
    assert_rows(&world, LAST_OF_OCTOBER, MANY, 2 * MANY);
    world_close(&world);
}

/* The loader meets rows of names that were deleted, and made anew, since the load began. */
static void the_loader_does_not_bring_back_what_was_deleted(void **state)
{
    (void)state;
    struct partition_world world;
    static uint64_t ids[MANY];
    memset(ids, 0, sizeof ids);
    open_with_many(&world, ids);
    series_lookup_set_loading(world.lookup, 0, false);
    (void)resolve(&world, "m", "h1", LAST_OF_OCTOBER - DAY_MS);
    struct metric_id_set deleted = {0};
    struct buffer names[2] = {{0}, {0}};
    struct item items[2];
    for (int i = 0; i < 2; i++) { /* one that is known, one that isn't */
        struct metric_label labels[] = {{"__name__", 8, "m", 1}, {"host", 4, i ? "h2" : "h1", 2}};
        metric_name_canonical(&names[i], labels, 2);
        items[i] = (struct item){names[i].data, names[i].len};
        metric_id_set_add(&deleted, ids[i + 1]);
    }
    metric_id_set_sort(&deleted);
    series_lookup_delete_ids(world.lookup, create_partition(&world.table, LAST_OF_OCTOBER), &deleted);
    series_lookup_delete(world.lookup, items, 2);
    uint64_t again = metric_id_of(&world, resolve(&world, "m", "h1", LAST_OF_OCTOBER - DAY_MS));
    assert_true(again != ids[1]);
    series_lookup_set_loading(world.lookup, 0, true);
    wait_until_loaded(&world);
    assert_int_equal(metric_id_of(&world, resolve(&world, "m", "h1", LAST_OF_OCTOBER - DAY_MS)), again);
    assert_true(metric_id_of(&world, resolve(&world, "m", "h2", LAST_OF_OCTOBER - DAY_MS)) != ids[2]);
    assert_int_equal(metric_id_of(&world, resolve(&world, "m", "h3", LAST_OF_OCTOBER - DAY_MS)), ids[3]);
    assert_int_equal(series_lookup_new_series(world.lookup), 2);
    metric_id_set_release(&deleted);
    for (int i = 0; i < 2; i++)
        buffer_release(&names[i]);
    world_close(&world);
}

/* At a start: the month is touched by the thread that loads it ahead while a deletion is under way. */
static void a_month_touched_in_the_middle_of_a_deletion_knows_of_it(void **state)
{
    (void)state;
    struct partition_world world;
    world_open(&world, &fs_posix);
    uint64_t a = metric_id_of(&world, resolve(&world, "m", "a", LAST_OF_OCTOBER));
    struct partition *pt = create_partition(&world.table, LAST_OF_OCTOBER);
    partition_flush_index_rows(pt);
    world_restart(&world);
    struct metric_id_set deleted = {0};
    metric_id_set_add(&deleted, a);
    series_lookup_delete_ids(world.lookup, pt, &deleted);
    assert_int_equal(series_lookup_preload(world.lookup, LAST_OF_OCTOBER, NULL), 0);
    series_lookup_delete(world.lookup, NULL, 0);
    partition_flush_index_rows(pt);
    uint64_t again = metric_id_of(&world, resolve(&world, "m", "a", LAST_OF_OCTOBER));
    assert_int_not_equal(again, a);
    metric_id_set_release(&deleted);
    world_close(&world);
}

static void a_month_may_be_forgotten_while_it_is_loaded(void **state)
{
    (void)state;
    struct partition_world world;
    static uint64_t ids[MANY];
    for (int round = 0; round < 10; round++) {
        memset(ids, 0, sizeof ids);
        open_with_many(&world, ids);
        series_lookup_set_loading(world.lookup, 0, true);
        assert_int_equal(series_lookup_preload(world.lookup, LAST_OF_OCTOBER, NULL), 0);
        if (round % 2)
            clock_sleep_ms(1);
        series_lookup_forget_months(world.lookup, FIRST_OF_NOVEMBER);
        assert_false(series_lookup_is_loading(world.lookup));
        assert_int_equal(series_lookup_preload(world.lookup, FIRST_OF_NOVEMBER, NULL), 0);
        world_close(&world);
    }
}

static void lookups_go_on_while_the_loader_reads(void **state)
{
    (void)state;
    struct partition_world world;
    static uint64_t ids[MANY];
    memset(ids, 0, sizeof ids);
    open_with_many(&world, ids);
    series_lookup_set_loading(world.lookup, 0, true);
    assert_int_equal(series_lookup_preload(world.lookup, LAST_OF_OCTOBER, NULL), 0);
    resolve_many(&world, LAST_OF_OCTOBER, 3, 1001, ids);
    resolve_many(&world, LAST_OF_OCTOBER - DAY_MS, 3, 1001, ids);
    wait_until_loaded(&world);
    assert_int_equal(series_lookup_new_series(world.lookup), 0);
    assert_int_equal(series_registry_count(world.registry), MANY);
    assert_rows(&world, LAST_OF_OCTOBER, MANY, 2 * MANY);
    world_close(&world);
}

static uint32_t series_of_store(struct storage_writer *w, const char *host, int64_t timestamp_ms)
{
    struct metric_label labels[] = {{"__name__", 8, "m", 1}, {"host", 4, host, (uint32_t)strlen(host)}};
    uint32_t series;
    const char *reason;
    storage_writer_begin(w);
    assert_int_equal(storage_writer_series(w, labels, 2, timestamp_ms, &series, &reason), 0);
    storage_writer_end(w);
    return series;
}

static void a_store_finds_them_again_after_a_restart(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    char host[16];
    uint64_t ids[100];
    clock_set_fake_ms(NOW_MS);
    for (int run = 0; run < 3; run++) {
        struct storage *st = open_store(dir, NULL, NULL);
        struct storage_writer *w = storage_writer_new(st);
        for (int i = 0; i < 100; i++) {
            snprintf(host, sizeof host, "h%d", i);
            uint32_t series = series_of_store(w, host, run == 2 ? NOW_MS : LAST_OF_OCTOBER);
            if (run < 2)
                assert_int_equal(series_of_store(w, host, FIRST_OF_NOVEMBER), series);
            struct tsid tsid = series_registry_tsid(st->registry, series);
            if (run)
                assert_int_equal(tsid.metric_id, ids[i]);
            ids[i] = tsid.metric_id;
        }
        assert_int_equal(series_lookup_new_series(st->lookup), run ? 0 : 100);
        storage_writer_free(w);
        assert_int_equal(storage_close(st, NULL), 0);
    }
    clock_set_fake_ms(0);
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_series_gets_its_rows_of_the_month_and_of_the_day),
        cmocka_unit_test(a_series_has_one_id_in_all_months),
        cmocka_unit_test(a_restart_looks_at_the_day_and_the_latest_one_before_it),
        cmocka_unit_test(deleted_ids_are_not_used_again),
        cmocka_unit_test(limits_are_refused_with_a_reason_and_leave_nothing),
        cmocka_unit_test(threads_that_come_at_once_get_one_id),
        cmocka_unit_test(names_are_looked_for_one_by_one_until_their_day_is_loaded),
        cmocka_unit_test(the_day_before_is_looked_into_as_well),
        cmocka_unit_test(the_loader_does_not_bring_back_what_was_deleted),
        cmocka_unit_test(a_month_touched_in_the_middle_of_a_deletion_knows_of_it),
        cmocka_unit_test(a_month_may_be_forgotten_while_it_is_loaded),
        cmocka_unit_test(lookups_go_on_while_the_loader_reads),
        cmocka_unit_test(after_a_flush_all_is_in_parts_whoever_else_flushes),
        cmocka_unit_test(a_store_finds_them_again_after_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
