/*
 * Commits that need somebody else's verdict. A log in shared memory stands for the one who gives it (Kafka's
 * group coordinator, in the service); whatever happens to the store, in the end it holds exactly what the log
 * agreed to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/clock.h"
#include "tests/doubles/fault_fs.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/store/store_fixture.h"

#define SERIES         3
#define OPERATIONS_MAX 5000

/* Each run waits for some verdicts: not every operation each time, but another set of them for each policy.
 */
#ifdef VARVE_SANITIZED
#define STRIDE 13
#else
#define STRIDE 3
#endif

enum policy {
    AGREE,
    AGREE_LATE,    /* the answer gets lost once */
    REFUSE_SECOND, /* and agree to what comes after */
    STAY_SILENT,   /* from the second on */
};

/* Shared with the child. */
struct verdicts {
    enum policy policy;
    atomic_bool away;         /* whoever decides can't be asked */
    _Atomic uint64_t token;   /* of what was agreed to last */
    _Atomic uint64_t next;    /* its position */
    _Atomic uint64_t refused; /* token */
    atomic_int asked, discarded, fatal, found;
    _Atomic uint64_t rejects, rejects_kept; /* lengths of their log */
};

static bool needs_verdict(void *context, const void *key, uint32_t key_len)
{
    (void)context;
    return key_len == 3 && memcmp(key, "src", 3) == 0;
}

static uint64_t next_of(const struct storage_prepared *p)
{
    const struct position_entry *e = position_table_find(p->positions, "src", 3);
    assert_non_null(e);
    return e->position.next;
}

static enum storage_verdict verdict(void *context, const struct storage_prepared *p)
{
    struct verdicts *v = context;
    if (v->away)
        return STORAGE_UNDECIDED;
    if (p->is_found)
        v->found++;
    if (p->token == v->token)
        return STORAGE_COMMIT;
    if (p->is_found) /* the process that asked is gone, and can't ask any more */
        return STORAGE_DISCARD;
    if (p->token == v->refused)
        return STORAGE_DISCARD;
    int asked = ++v->asked;
    if (v->policy == STAY_SILENT && asked > 1)
        return STORAGE_UNDECIDED;
    if (v->policy == REFUSE_SECOND && asked == 2) {
        v->refused = p->token;
        return STORAGE_DISCARD;
    }
    v->next = next_of(p);
    v->token = p->token;
    return v->policy == AGREE_LATE ? STORAGE_UNDECIDED : STORAGE_COMMIT;
}

static uint64_t reject_log_length(void *context)
{
    return ((struct verdicts *)context)->rejects;
}

static void on_discarded(void *context, uint64_t length)
{
    struct verdicts *v = context;
    v->discarded++;
    v->rejects = v->rejects_kept = length;
}

static void on_fatal(void *context, const struct error *error)
{
    (void)error;
    ((struct verdicts *)context)->fatal++;
}

static struct storage_hooks hooks_of(struct verdicts *v)
{
    return (struct storage_hooks){.context = v,
                                  .needs_verdict = needs_verdict,
                                  .verdict = verdict,
                                  .reject_log_length = reject_log_length,
                                  .discarded = on_discarded,
                                  .fatal = on_fatal};
}

static struct storage *open_with(const char *dir, struct verdicts *v)
{
    struct storage_hooks hooks = hooks_of(v);
    return open_store(dir, NULL, &hooks);
}

static void wait_decided(struct storage *st)
{
    for (int i = 0; i < 1000 && storage_undecided_ms(st) >= 0; i++)
        clock_sleep_ms(5);
    assert_int_equal(storage_undecided_ms(st), -1);
}

static uint64_t messages_in(struct storage *st)
{
    return count_messages(reader_new(st), SERIES);
}

static void agreed_is_committed(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct verdicts v = {0};
    struct storage *st = open_with(dir, &v);
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, 0, 50, SERIES);
    assert_int_equal(storage_flush(st, 5000, NULL), 0);
    assert_int_equal(v.asked, 1);
    assert_int_equal(durable_position_of(st), 50);
    put_messages(w, 50, 80, SERIES);
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
    assert_int_equal(v.asked, 2);
    expect_messages_in(dir, 80, SERIES);
    temp_dir_remove(dir);
}

static void other_sources_need_nobody(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct verdicts v = {.away = true};
    struct storage *st = open_with(dir, &v);
    struct storage_position p = {.next = 7};
    storage_set_position(st, "other", 5, &p);
    assert_int_equal(storage_flush(st, 5000, NULL), 0);
    assert_true(storage_durable_position(st, "other", 5, &p));
    assert_int_equal(storage_close(st, NULL), 0);
    temp_dir_remove(dir);
}

static void refused_is_read_again(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct verdicts v = {.policy = REFUSE_SECOND};
    struct storage *st = open_with(dir, &v);
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, 0, 50, SERIES);
    assert_int_equal(storage_flush(st, 5000, NULL), 0);
    put_messages(w, 50, 70, SERIES);
    assert_int_equal(storage_flush(st, 5000, NULL), 0); /* there's nothing left to flush */
    assert_int_equal(v.discarded, 1);
    assert_int_equal(position_of(st), 50);
    assert_int_equal(messages_in(st), 50);
    assert_int_equal(storage_buffered_bytes(st) > 0, 1);
    struct storage_position to = {.next = 71};
    storage_writer_begin(w);
    assert_int_equal(storage_writer_hand_over(w, "src", 3, 70, &to, NULL), ERR_INVALID);
    storage_writer_end(w);
    put_messages(w, 50, 90, SERIES);
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
    expect_messages_in(dir, 90, SERIES);
    temp_dir_remove(dir);
}

/* Whoever decides is away: everything before is there, nothing is committed, a stop doesn't wait. */
static void undecided_waits(void **state)
{
    (void)state;
    char *dir = TEMP_DIR();
    struct verdicts v = {0};
    struct storage *st = open_with(dir, &v);
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, 0, 50, SERIES);
    assert_int_equal(storage_flush(st, 5000, NULL), 0);
    v.away = true;
    put_messages(w, 50, 60, SERIES);
    assert_int_equal(storage_flush(st, 300, NULL), ERR_CANCELLED);
    assert_true(storage_undecided_ms(st) >= 0);
    assert_int_equal(durable_position_of(st), 50);
    put_messages(w, 60, 70, SERIES); /* what comes meanwhile waits in memory */
    assert_int_equal(messages_in(st) >= 60, 1);
    v.away = false;
    assert_int_equal(storage_flush(st, 5000, NULL), 0);
    assert_int_equal(durable_position_of(st), 70);
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
    expect_messages_in(dir, 70, SERIES);
    temp_dir_remove(dir);
}

static int edit_nothing(void *context, struct position_table *positions, struct error *reterr)
{
    (void)context;
    (void)positions;
    (void)reterr;
    return 0;
}

/* Found at the next start, and the one after: readable without it, then made or not as the log says. */
static void found_at_open(bool agreed)
{
    char *dir = TEMP_DIR();
    struct verdicts v = {0};
    struct storage *st = open_with(dir, &v);
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, 0, 50, SERIES);
    assert_int_equal(storage_flush(st, 5000, NULL), 0);
    v.policy = agreed ? AGREE_LATE : STAY_SILENT;
    put_messages(w, 50, 80, SERIES);
    v.away = true;
    assert_int_equal(storage_flush(st, 100, NULL), ERR_CANCELLED);
    if (agreed) { /* and the answer gets lost */
        v.away = false;
        for (int i = 0; i < 1000 && v.next != 80; i++)
            clock_sleep_ms(1);
        v.away = true;
    }
    storage_writer_free(w);
    bool decided = durable_position_of(st) == 80;
    assert_int_equal(storage_close(st, NULL), 0);
    expect_messages_in(dir, decided ? 80 : 50, SERIES);
    if (!decided) {
        struct error error = {0};
        assert_int_equal(storage_edit_positions(dir, edit_nothing, NULL, &error), ERR_BUSY);
        assert_int_equal(storage_recover(dir, NULL), 0);
    }

    st = open_with(dir, &v);
    if (!decided) {
        assert_true(storage_undecided_ms(st) >= 0);
        assert_int_equal(messages_in(st), 50);
        assert_int_equal(durable_position_of(st), 50);
        assert_int_equal(position_of(st), 80); /* as if it were made */
    }
    assert_int_equal(storage_close(st, NULL), 0);

    st = open_with(dir, &v);
    v.away = false;
    wait_decided(st);
    assert_int_equal(messages_in(st), agreed ? 80 : 50);
    assert_int_equal(position_of(st), agreed ? 80 : 50);
    assert_int_equal(durable_position_of(st), agreed ? 80 : 50);
    v.policy = AGREE;
    w = storage_writer_new(st);
    put_messages(w, agreed ? 80 : 50, 100, SERIES);
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
    expect_messages_in(dir, 100, SERIES);
    temp_dir_remove(dir);
}

static void found_and_agreed(void **state)
{
    (void)state;
    found_at_open(true);
}

static void found_and_refused(void **state)
{
    (void)state;
    found_at_open(false);
}

/* Nobody serves a half of it; what to do is said, and works. */
static void found_damaged(void **state)
{
    (void)state;
    char *dir = TEMP_DIR(), path[512];
    struct verdicts v = {0};
    struct storage *st = open_with(dir, &v);
    struct storage_writer *w = storage_writer_new(st);
    put_messages(w, 0, 50, SERIES);
    assert_int_equal(storage_flush(st, 5000, NULL), 0);
    v.away = true;
    put_messages(w, 50, 80, SERIES);
    assert_int_equal(storage_flush(st, 100, NULL), ERR_CANCELLED);
    storage_writer_free(w);
    assert_int_equal(storage_close(st, NULL), 0);
    (void)snprintf(path, sizeof path, "%s/varve/staging", dir);
    assert_int_equal(fs_remove_tree(&fs_posix, path, NULL), 0);

    struct storage_options options = {.path = dir, .retention_ms = 400 * DAY_MS, .hooks = hooks_of(&v)};
    struct error error = {0};
    (void)snprintf(path, sizeof path, "%s/varve/prepared", dir);
    assert_int_equal(storage_open(&st, &options, &error), ERR_CORRUPT);
    if (!strstr(error.message, path) || !strstr(error.message, "commit 2"))
        fail_msg("%s", error.message);
    assert_int_equal(unlink(path), 0);
    st = open_with(dir, &v);
    assert_int_equal(storage_undecided_ms(st), -1);
    assert_int_equal(position_of(st), 50);
    assert_int_equal(messages_in(st), 50);
    assert_int_equal(storage_close(st, NULL), 0);
    temp_dir_remove(dir);
}

/* Partitions were lost while it's open: what came after it goes, it stays as it is. */
static void rows_behind_an_undecided_one_are_dropped(void **state)
{
    (void)state;
    for (int agreed = 0; agreed < 2; agreed++) {
        char *dir = TEMP_DIR();
        struct verdicts v = {.rejects = 5};
        struct storage *st = open_with(dir, &v);
        struct storage_writer *w = storage_writer_new(st);
        put_messages(w, 0, 50, SERIES);
        assert_int_equal(storage_flush(st, 5000, NULL), 0);
        v.away = true;
        v.rejects = 6;
        put_messages(w, 50, 60, SERIES);
        assert_int_equal(storage_flush(st, 100, NULL), ERR_CANCELLED);
        v.rejects = 7;
        put_messages(w, 60, 90, SERIES);
        assert_int_equal(storage_discard_uncommitted(st, 2000, NULL), 0);
        assert_int_equal(v.rejects_kept, 6);
        assert_int_equal(position_of(st), 60);
        assert_int_equal(durable_position_of(st), 50);
        if (!agreed)
            v.policy = REFUSE_SECOND;
        v.away = false;
        wait_decided(st);
        assert_int_equal(v.rejects_kept, agreed ? 6 : 5);
        assert_int_equal(position_of(st), agreed ? 60 : 50);
        assert_int_equal(messages_in(st), agreed ? 60 : 50);
        put_messages(w, agreed ? 60 : 50, 100, SERIES);
        storage_writer_free(w);
        assert_int_equal(storage_close(st, NULL), 0);
        expect_messages_in(dir, 100, SERIES);
        temp_dir_remove(dir);
    }
}

/* --- at every operation --- */

static void run(const char *dir, const struct fs *fs, void *context)
{
    struct verdicts *v = context;
    struct storage_options options = {
        .path = dir,
        .fs = fs,
        .retention_ms = 400 * DAY_MS,
        .flush_interval_ms = 3600 * SECOND_MS,
        .merge_workers = 1,
        .hooks = hooks_of(v),
    };
    struct storage *st;
    struct error error = {0};
    if (storage_open(&st, &options, &error) < 0)
        return;
    for (int i = 0; i < 400 && storage_undecided_ms(st) >= 0 && !v->fatal; i++)
        clock_sleep_ms(5);
    struct storage_writer *w = storage_writer_new(st);
    for (int i = 0; i < 3 && storage_undecided_ms(st) < 0; i++) {
        uint64_t from = position_of(st);
        put_messages(w, from, from + 20, SERIES);
        (void)storage_flush(st, v->policy == STAY_SILENT ? 10 : 2000, NULL);
    }
    storage_writer_free(w);
    (void)storage_close(st, &error);
}

/* What was agreed to is there, and nothing else; found by a process that nothing happens to. */
static void check(const char *dir, struct verdicts *v, long at)
{
    struct reader *r;
    uint64_t before = 0;
    if (reader_open_dir(&r, dir, NULL) == 0)
        before = count_messages(r, SERIES);
    v->fatal = 0;
    struct storage *st = open_with(dir, v);
    wait_decided(st);
    uint64_t messages = messages_in(st);
    if (messages != v->next || position_of(st) != v->next || durable_position_of(st) != v->next ||
        before > messages)
        fail_msg("operation %ld: agreed to %llu messages; %llu were read, %llu after the verdict, position "
                 "%llu, durable %llu",
                 at, (unsigned long long)v->next, (unsigned long long)before, (unsigned long long)messages,
                 (unsigned long long)position_of(st), (unsigned long long)durable_position_of(st));
    assert_int_equal(storage_close(st, NULL), 0);
    expect_messages_in(dir, messages, SERIES);
}

static struct verdicts *shared_verdicts(enum policy policy)
{
    struct verdicts *v = map_shared(sizeof *v);
    v->policy = policy;
    return v;
}

static void killed_at_every_operation(void **state)
{
    (void)state;
    static const enum policy policies[] = {AGREE, AGREE_LATE, REFUSE_SECOND, STAY_SILENT};
    for (size_t p = 0; p < sizeof policies / sizeof *policies; p++) {
        long at = 1 + (long)p % STRIDE;
        int found = 0;
        for (bool done = false; !done; at += STRIDE) {
            assert_true(at < OPERATIONS_MAX);
            char *dir = TEMP_DIR();
            struct verdicts *v = shared_verdicts(policies[p]);
            done = run_in_child(dir, at, run, v);
            check(dir, v, at);
            found += v->found > 0;
            munmap(v, sizeof *v);
            temp_dir_remove(dir);
        }
        print_message("policy %zu: %ld operations, %d times one was found\n", p, at - 1, found);
        assert_true(found > 0 || STRIDE > 3);
    }
}

#ifdef VARVE_FAULT_POINTS
/* An open one behind it, and killed again at every operation of the start that settles it. */
static void killed_again_at_every_operation_of_the_start(void **state)
{
    (void)state;
    static const char *const points[] = {"commit.prepared:2", "commit.agreed:2", "commit.refused"};
    for (size_t p = 0; p < sizeof points / sizeof *points; p++) {
        for (long at = 1 + (long)p % STRIDE, done = 0; !done; at += STRIDE) {
            assert_true(at < OPERATIONS_MAX);
            char *dir = TEMP_DIR();
            struct verdicts *v = shared_verdicts(p == 2 ? REFUSE_SECOND : AGREE);
            setenv("VARVE_FAULT_POINT", points[p], 1);
            assert_false(run_in_child(dir, OPERATIONS_MAX, run, v));
            unsetenv("VARVE_FAULT_POINT");
            v->policy = AGREE;
            done = run_in_child(dir, at, run, v);
            check(dir, v, at);
            munmap(v, sizeof *v);
            temp_dir_remove(dir);
        }
    }
}
#endif

static void fail_every_operation(enum fault_kind kind, long length)
{
    static const enum policy policies[] = {AGREE, AGREE_LATE, REFUSE_SECOND};
    for (size_t p = 0; p < sizeof policies / sizeof *policies; p++) {
        long faults = 0;
        for (long at = 1 + (long)p % STRIDE;; at += STRIDE) {
            assert_true(at < OPERATIONS_MAX);
            char *dir = TEMP_DIR();
            struct verdicts v = {.policy = policies[p]};
            struct fault_fs f;
            fault_fs_init(&f, kind, at);
            f.length = length;
            run(dir, &f.fs, &v);
            if (kind == FAULT_FULL_FOR)
                assert_int_equal(v.fatal, 0);
            check(dir, &v, at);
            temp_dir_remove(dir);
            if (atomic_load(&f.operations) < at)
                break;
            faults += f.faults > 0;
        }
        print_message("policy %zu: %ld faults\n", p, faults);
        assert_true(faults > 10);
    }
}

static void an_io_error_at_every_operation(void **state)
{
    (void)state;
    fail_every_operation(FAULT_IO, 0);
}

static void a_short_write_at_every_operation(void **state)
{
    (void)state;
    fail_every_operation(FAULT_SHORT_WRITE, 0);
}

static void a_full_disk_at_every_operation(void **state)
{
    (void)state;
    fail_every_operation(FAULT_FULL_FOR, 2);
}

static int set_up(void **state)
{
    (void)state;
    clock_set_fake_ms(NOW_MS);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agreed_is_committed),
        cmocka_unit_test(other_sources_need_nobody),
        cmocka_unit_test(refused_is_read_again),
        cmocka_unit_test(undecided_waits),
        cmocka_unit_test(found_and_agreed),
        cmocka_unit_test(found_and_refused),
        cmocka_unit_test(found_damaged),
        cmocka_unit_test(rows_behind_an_undecided_one_are_dropped),
        cmocka_unit_test(killed_at_every_operation),
#ifdef VARVE_FAULT_POINTS
        cmocka_unit_test(killed_again_at_every_operation_of_the_start),
#endif
        cmocka_unit_test(an_io_error_at_every_operation),
        cmocka_unit_test(a_short_write_at_every_operation),
        cmocka_unit_test(a_full_disk_at_every_operation),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
