/*
 * The whole life of partitions at once, killed at a random moment, again and again: rows on their way,
 * commits, small, big and index merges, forced merges, deletes, snapshots, retention and discarded rows, now
 * and then on a full disk. Whatever is found afterwards is what one commit says, and each kept snapshot what
 * its own says.
 *
 * VARVE_SEED=N repeats a run, as far as threads can be repeated; VARVE_ROUNDS=N makes more of it.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "src/base/thread.h"
#include "storage/delete_series.h"
#include "storage/search/inspect.h"
#include "storage/snapshot.h"
#include "storage/storage_impl.h"
#include "tests/doubles/fault_fs.h"
#include "tests/doubles/temp_dir.h"
#include "tests/unit/storage/store/store_fixture.h"

#ifdef VARVE_SANITIZED
#define ROUNDS 8
#else
#define ROUNDS 16
#endif
#define KILLS          3    /* of one store, before a run that ends cleanly */
#define MESSAGES       600u /* in all; four a day */
#define MESSAGES_RUN   200u /* of one run */
#define STEP_MS        (6 * 3600 * SECOND_MS)
#define RETENTION_MS   (45 * DAY_MS)
#define LATE_MS        (20 * DAY_MS)
#define OPERATIONS_MAX 4000 /* more than a run makes: some runs aren't killed */
#define SNAPSHOTS_MAX  64
#define SNAPSHOTS_KEPT 3
#define TIMEOUT_MS     INT64_C(60000)

#ifdef __SANITIZE_THREAD__
/* A process that is killed joins no thread. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "report_thread_leaks=0";
}
#endif

/* Message n has a row of each of them at T0 + n steps, but "late", whose row is 20 days older. */
enum series { KEPT_0, KEPT_1, KEPT_2, VICTIM, LATE, SERIES_COUNT };
static const char *const series_names[SERIES_COUNT] = {"kept-0", "kept-1", "kept-2", "victim", "late"};

static double value_of(uint64_t n, unsigned series)
{
    return (double)(n * 10 + series) / 4; /* scales differ */
}

static int64_t time_of(uint64_t n, unsigned series)
{
    return T0 + (int64_t)n * STEP_MS - (series == LATE ? LATE_MS : 0);
}

struct kept_snapshot {
    char name[SNAPSHOT_NAME_SIZE];
    uint64_t from, to; /* bounds of its position */
    atomic_bool is_made, is_deleted;
};

/* What the run knows for sure; shared with the parent, who checks. */
struct told {
    _Atomic uint64_t durable;     /* no less is found */
    _Atomic uint64_t handed_over; /* no more is found; it never goes back */
    _Atomic int64_t now_ms;       /* the latest time of any run */
    _Atomic uint64_t deleted_to;  /* the victim's rows of messages before it are gone */
    /* Those of messages from here on are there; UINT64_MAX while a delete is at work. */
    _Atomic uint64_t kept_from;
    struct kept_snapshot snapshots[SNAPSHOTS_MAX];
    atomic_size_t snapshots_count;
    _Atomic uint64_t commits, merges, deletes, months_dropped, forced_merges, discards, full,
        killed_at_points;
};

struct run {
    struct told *told;
    const char *dir;
    struct storage *st;
    atomic_bool done;
    uint32_t seed;
};

static uint32_t next_random(uint32_t *state)
{ /* xorshift */
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* --- what is found --- */

struct found {
    const char *where;
    int64_t from_ms; /* what is older may be gone */
    uint64_t position;
    uint8_t seen[SERIES_COUNT][MESSAGES];
    unsigned errors;
};

__attribute__((format(printf, 2, 3))) static void wrong(struct found *f, const char *format, ...)
{
    va_list args;
    if (f->errors++ > 5)
        return;
    va_start(args, format);
    fprintf(stderr, "%s: ", f->where);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
}

static int see_rows(void *context, const struct series_rows *rows)
{
    struct found *f = context;
    struct metric_name mn = {0};
    assert_int_equal(metric_name_parse(&mn, rows->name, rows->name_len, NULL), 0);
    struct item host = metric_name_tag_value(&mn, "host", 4);
    unsigned s = 0;
    while (s < SERIES_COUNT &&
           (host.len != strlen(series_names[s]) || memcmp(host.data, series_names[s], host.len) != 0))
        s++;
    for (size_t i = 0; s < SERIES_COUNT && i < rows->count; i++) {
        int64_t t = rows->timestamps[i];
        uint64_t n = (uint64_t)(t - time_of(0, s)) / (uint64_t)STEP_MS;
        if (n >= MESSAGES || t != time_of(n, s) || rows->values[i] != value_of(n, s))
            wrong(f, "%s has %g at %lld", series_names[s], rows->values[i], (long long)t);
        else
            f->seen[s][n]++;
    }
    if (s == SERIES_COUNT)
        wrong(f, "an unknown series %.*s", (int)host.len, (const char *)host.data);
    metric_name_release(&mn);
    return 0;
}

/* Takes over r. */
static void look(struct found *f, struct reader *r)
{
    struct error error = {0};
    if (reader_export(r, NULL, 0, 0, INT64_MAX / 2, see_rows, f, &error) < 0)
        wrong(f, "%s", error.message);
    reader_free(r);
    for (unsigned s = 0; s < SERIES_COUNT; s++)
        for (uint64_t n = 0; n < MESSAGES; n++)
            if (f->seen[s][n] > 1 || (f->seen[s][n] && n >= f->position))
                wrong(f, "%s, message %llu: %u rows, position %llu", series_names[s], (unsigned long long)n,
                      f->seen[s][n], (unsigned long long)f->position);
}

/* All rows in retention of the messages before the position; of the victim, those since some moment. */
static void expect_whole(struct found *f, uint64_t deleted_to, uint64_t kept_from)
{
    for (unsigned s = 0; s < SERIES_COUNT; s++) {
        bool begun = false;
        for (uint64_t n = 0; n < f->position; n++) {
            bool is_old = time_of(n, s) < f->from_ms;
            bool is_there = f->seen[s][n];
            if (s != VICTIM && !is_there && !is_old)
                wrong(f, "%s, message %llu is missing; position %llu", series_names[s], (unsigned long long)n,
                      (unsigned long long)f->position);
            if (s != VICTIM || is_old)
                continue;
            if (is_there && n < deleted_to)
                wrong(f, "victim, message %llu is back: deleted up to %llu", (unsigned long long)n,
                      (unsigned long long)deleted_to);
            if (!is_there && (begun || n >= kept_from))
                wrong(f, "victim, message %llu is missing: written after the delete, %s",
                      (unsigned long long)n, begun ? "as were those before it" : "all of it");
            begun |= is_there;
        }
    }
}

static uint64_t position_in_dir(const char *dir)
{
    struct inspection in;
    struct error error = {0};
    if (inspection_open(&in, dir, &error) < 0)
        fail_msg("inspect %s: %s", dir, error.message);
    const struct position_entry *e = position_table_find(&in.view.state.positions, "src", 3);
    uint64_t position = e ? e->position.next : 0;
    inspection_release(&in);
    return position;
}

static struct reader *reader_of(const char *dir)
{
    struct reader *r;
    struct error error = {0};
    if (reader_open_dir(&r, dir, &error) < 0)
        fail_msg("read %s: %s", dir, error.message);
    return r;
}

/* --- what goes on --- */

static bool has_ended(const struct run *run)
{
    return atomic_load(&run->done) || atomic_load(&run->st->failed);
}

/* A full disk and what it takes along, or a busy neighbour, are no failures. */
static int must_be_fine(const char *what, int r, const struct error *error)
{
    if (r >= 0 || r == ERR_FULL || r == ERR_CANCELLED || r == ERR_BUSY)
        return r;
    fprintf(stderr, "%s: %s\n", what, error->message);
    _exit(7);
}

static void put(struct run *run, struct storage_writer *w, uint64_t n)
{
    struct storage_position to = {.next = n + 1};
    if (time_of(n, KEPT_0) > atomic_load(&run->told->now_ms)) {
        /* Told first: a kill between the two must not leave rows dropped by a time that nobody was told. */
        atomic_store(&run->told->now_ms, time_of(n, KEPT_0));
        clock_set_fake_ms(time_of(n, KEPT_0));
    }
    storage_writer_begin(w);
    if (storage_writer_hand_over(w, "src", 3, n, &to, NULL) == 0) {
        if (n + 1 > atomic_load(&run->told->handed_over))
            atomic_store(&run->told->handed_over, n + 1);
        for (unsigned s = 0; s < SERIES_COUNT; s++) {
            int64_t min_ms, max_ms, t = time_of(n, s);
            uint32_t handle;
            const char *reason;
            struct metric_label labels[] = {{"__name__", 8, "life", 4},
                                            {"host", 4, series_names[s], (uint32_t)strlen(series_names[s])}};
            storage_writer_limits(w, &min_ms, &max_ms);
            if (t < min_ms)
                continue;
            if (storage_writer_series(w, labels, 2, t, &handle, &reason) < 0 ||
                storage_writer_add(w, handle, t, decimal_from_double(value_of(n, s))) != ROW_ADDED)
                abort();
        }
    }
    storage_writer_end(w);
}

static void write_rows(void *arg)
{
    struct run *run = arg;
    uint32_t random = run->seed;
    struct error error = {0};
    struct storage_writer *w = storage_writer_new(run->st);
    uint64_t end = position_of(run->st) + MESSAGES_RUN;
    while (!has_ended(run) && position_of(run->st) < (end < MESSAGES ? end : MESSAGES)) {
        put(run, w, position_of(run->st));
        if (next_random(&random) % 4 == 0)
            clock_sleep_ms(next_random(&random) % 20);
        if (next_random(&random) % 97 == 0)
            run->told->discards +=
                must_be_fine("discard", storage_discard_uncommitted(run->st, 1000, &error), &error) == 0;
    }
    storage_writer_free(w);
    atomic_store(&run->done, true);
}

static void commit_rows(void *arg)
{
    struct run *run = arg;
    uint32_t random = run->seed ^ 0x1111;
    while (!has_ended(run)) {
        struct error error = {0};
        (void)must_be_fine("flush", storage_flush(run->st, 1000, &error), &error);
        clock_sleep_ms(next_random(&random) % 10);
    }
}

static void delete_series(void *arg)
{
    struct run *run = arg;
    uint32_t random = run->seed ^ 0x2222;
    struct selector *s;
    if (selector_parse(&s, "{host=\"victim\"}", NULL) < 0)
        abort();
    while (!has_ended(run)) {
        uint64_t n, from = durable_position_of(run->st);
        clock_sleep_ms(next_random(&random) % 150);
        atomic_store(&run->told->kept_from, UINT64_MAX);
        struct error error = {0};
        if (must_be_fine("delete", storage_delete_series(run->st, &s, 1, 2000, &n, &error), &error) != 0)
            continue; /* the disk is full, or the store has failed: it may be done, or not */
        if (n)
            atomic_store(&run->told->deleted_to, from);
        run->told->deletes += n > 0;
        atomic_store(&run->told->kept_from, atomic_load(&run->told->handed_over));
    }
    selector_free(s);
}

static void make_snapshots(void *arg)
{
    struct run *run = arg;
    struct told *told = run->told;
    struct error error = {0};
    uint32_t random = run->seed ^ 0x3333;
    while (!has_ended(run) && told->snapshots_count < SNAPSHOTS_MAX) {
        struct kept_snapshot *s = &told->snapshots[told->snapshots_count];
        clock_sleep_ms(next_random(&random) % 100);
        s->from = durable_position_of(run->st);
        if (must_be_fine("snapshot", storage_snapshot_create(run->st, 2000, s->name, &error), &error) == 0) {
            s->to = atomic_load(&told->handed_over);
            s->is_made = true;
            told->snapshots_count++;
        }
        if (told->snapshots_count <= SNAPSHOTS_KEPT)
            continue;
        s = &told->snapshots[next_random(&random) % told->snapshots_count];
        if (!s->is_deleted) {
            s->is_deleted = true;
            (void)must_be_fine("delete a snapshot", storage_snapshot_delete(run->st, s->name, &error),
                               &error);
        }
    }
}

static void keep_retention(void *arg)
{
    struct run *run = arg;
    uint32_t random = run->seed ^ 0x4444;
    while (!has_ended(run)) {
        clock_sleep_ms(next_random(&random) % 60);
        struct error error = {0};
        (void)must_be_fine("retention", storage_remove_stale(run->st, &error), &error);
    }
}

static void force_merges(void *arg)
{
    struct run *run = arg;
    uint32_t random = run->seed ^ 0x5555;
    while (!has_ended(run)) {
        clock_sleep_ms(next_random(&random) % 200);
        struct error error = {0};
        run->told->forced_merges +=
            must_be_fine("forced merge", storage_force_merge(run->st, "", &error), &error) > 0;
    }
}

/* What a reader sees meanwhile: no row twice, none that nobody wrote. */
static void read_rows(void *arg)
{
    struct run *run = arg;
    while (!has_ended(run)) {
        _cleanup_free_ struct found *f = xcalloc(1, sizeof *f);
        f->where = "a reader of the running store";
        struct reader *r = reader_new(run->st);
        f->position = atomic_load(&run->told->handed_over);
        look(f, r);
        if (f->errors)
            _exit(3);
    }
}

static void on_durable(void *context, uint64_t n)
{
    (void)n;
    struct run *run = context;
    if (run->st)
        atomic_store(&run->told->durable, durable_position_of(run->st));
}

static void on_fatal(void *context, const struct error *error)
{
    (void)context;
    fprintf(stderr, "fatal: %s\n", error->message);
    _exit(4);
}

static void on_full(void *context, bool full, const struct error *error)
{
    (void)error;
    struct run *run = context;
    run->told->full += full;
}

/* The store opened, and all of it at once. Exits 0 when it closed. */
static void live(const char *dir, struct told *told, const struct fs *fs, uint32_t seed)
{
    static void (*const deeds[])(void *) = {write_rows,     commit_rows,  delete_series, make_snapshots,
                                            keep_retention, force_merges, read_rows};
    struct thread threads[sizeof deeds / sizeof *deeds] = {0};
    struct run run = {.told = told, .dir = dir, .seed = seed};
    struct storage_options options = {
        .path = dir,
        .fs = fs,
        .retention_ms = RETENTION_MS,
        .trust_clock = true,
        .flush_interval_ms = 3600 * SECOND_MS,
        .merge_workers = 2,
        .small_part_bytes_max = 4000,
        .hooks = {.context = &run,
                  .durable = on_durable,
                  .fatal = on_fatal,
                  .problem = on_fatal,
                  .disk_full = on_full},
    };
    struct error error = {0};
    clock_set_fake_ms(told->now_ms);
    int r = storage_open(&run.st, &options, &error);
    if (r == ERR_FULL)
        _exit(0);
    if (r < 0) {
        fprintf(stderr, "open: %s\n", error.message);
        _exit(5);
    }
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++)
        thread_start(&threads[i], "deed", deeds[i], &run);
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++)
        thread_join(&threads[i]);
    struct storage_stats stats;
    storage_stats(run.st, &stats);
    told->commits += stats.commits_total;
    told->merges += stats.merges_total;
    told->months_dropped += stats.removed.months;
    storage_stats_release(&stats);
    r = storage_close(run.st, &error);
    if (r < 0 && r != ERR_FULL)
        fprintf(stderr, "close: %s\n", error.message);
    _exit(r == 0 || r == ERR_FULL ? 0 : 6);
}

/* --- the checks --- */

static void check_snapshots(const char *dir, struct told *told)
{
    _cleanup_free_ char *folder = xasprintf("%s/snapshots", dir);
    for (size_t i = 0; i < told->snapshots_count; i++) {
        struct kept_snapshot *s = &told->snapshots[i];
        _cleanup_free_ char *place = xasprintf("%s/%s", folder, s->name);
        if (s->is_deleted)
            continue;
        if (!fs_is_dir(place))
            fail_msg("snapshot %s is gone", s->name);
        _cleanup_free_ struct found *f = xcalloc(1, sizeof *f);
        f->where = place;
        f->position = position_in_dir(place);
        f->from_ms = told->now_ms - RETENTION_MS;
        look(f, reader_of(place));
        expect_whole(f, 0, UINT64_MAX);
        if (f->errors || f->position < s->from || f->position > s->to)
            fail_msg(
                "snapshot %s is damaged, or of another commit: position %llu, made between %llu and %llu",
                s->name, (unsigned long long)f->position, (unsigned long long)s->from,
                (unsigned long long)s->to);
    }
}

static void check(const char *dir, struct told *told)
{
    _cleanup_free_ struct found *f = xcalloc(1, sizeof *f);
    f->where = "after the end";
    f->position = position_in_dir(dir);
    f->from_ms = told->now_ms - RETENTION_MS;
    if (f->position < told->durable || f->position > told->handed_over)
        fail_msg("position %llu, but %llu was durable and %llu handed over", (unsigned long long)f->position,
                 (unsigned long long)told->durable, (unsigned long long)told->handed_over);
    look(f, reader_of(dir));
    expect_whole(f, told->deleted_to, told->kept_from);
    if (f->errors)
        fail_msg("%u errors", f->errors);
    check_snapshots(dir, told);
}

#ifdef VARVE_FAULT_POINTS
/* Each step of a commit, a merge, a snapshot, retention, the index, a recovery and a stop. */
static const char *const points[] = {
    "commit.before_record", "commit.recorded",   "publish.parts_json",   "publish.index", "commit.published",
    "commit.acknowledged",  "index.built",       "merge.selected",       "merge.begun",   "merge.built",
    "merge.synced",         "merge.listed",      "merge.source_removed", "merge.done",    "snapshot.part",
    "snapshot.made",        "snapshot.unlisted", "drop.closed",          "drop.moved",    "stale.unlisted",
    "recover.moved",        "recover.listed",    "recover.checkpoint",   "close.folded"};
enum { POINTS_COUNT = sizeof points / sizeof *points };
#endif

/* A run in a child. point: where it's killed, if it gets there; NULL: at an operation. */
static void run_once(const char *dir, struct told *told, enum fault_kind kind, long at, const char *point,
                     uint32_t seed)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct fault_fs f;
        if (point)
            setenv("VARVE_FAULT_POINT", point, 1);
        fault_fs_init(&f, point ? FAULT_NONE : kind, at);
        if (kind == FAULT_FULL_FOR) {
            f.length = 40;
            f.exit_after = 400;
        }
        live(dir, told, &f.fs, seed);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && point;
    if (!killed && (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 137)))
        fail_msg("the run ended with status %#x", status);
    told->killed_at_points += killed;
}

static void one_store(uint32_t seed, struct told *sums)
{
    char *dir = TEMP_DIR();
    struct told *told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(told != MAP_FAILED);
    uint32_t random = seed * 2654435761u | 1;
    told->now_ms = T0;
    for (unsigned i = 0; i <= KILLS; i++) {
        long at = 1 + (long)(next_random(&random) % OPERATIONS_MAX);
        enum fault_kind kind = next_random(&random) % 4 == 0 ? FAULT_FULL_FOR : FAULT_EXIT;
        char point[64] = "";
#ifdef VARVE_FAULT_POINTS
        if (i == 1 || i == 2) /* all of them, in turn */
            snprintf(point, sizeof point, "%s:%u", points[(2 * seed + i) % POINTS_COUNT],
                     1 + next_random(&random) % 3);
#endif
        if (i == KILLS)
            kind = FAULT_NONE;
        print_message("  seed %u, run %u: kind %d at operation %ld%s%s\n", seed, i, (int)kind, at,
                      *point ? ", no, at " : "", point);
        run_once(dir, told, kind, at, *point ? point : NULL, next_random(&random) | 1);
        check(dir, told);
    }
    uint64_t parts;
    assert_int_equal(store_verify(dir, NULL, NULL, &parts, NULL), 0);
    sums->commits += told->commits;
    sums->merges += told->merges;
    sums->deletes += told->deletes;
    sums->months_dropped += told->months_dropped;
    sums->forced_merges += told->forced_merges;
    sums->discards += told->discards;
    sums->full += told->full;
    sums->killed_at_points += told->killed_at_points;
    sums->snapshots_count += told->snapshots_count;
    munmap(told, sizeof *told);
    temp_dir_remove(dir);
}

static void killed_while_all_goes_on(void **state)
{
    (void)state;
    static struct told sums;
    const char *text = getenv("VARVE_SEED"), *rounds = getenv("VARVE_ROUNDS");
    uint32_t seed = text ? (uint32_t)strtoul(text, NULL, 10) : (uint32_t)time(NULL);
    print_message("VARVE_SEED=%u\n", seed);
    for (uint32_t i = 0; i < (rounds ? strtoul(rounds, NULL, 10) : ROUNDS); i++)
        one_store(seed + i, &sums);
    print_message(
        "runs that weren't killed: %llu commits, %llu merges, %llu forced ones, %llu months dropped\n"
        "all: %llu deletes, %zu snapshots, %llu discards, %llu times full, %llu killed at points\n",
        (unsigned long long)sums.commits, (unsigned long long)sums.merges,
        (unsigned long long)sums.forced_merges, (unsigned long long)sums.months_dropped,
        (unsigned long long)sums.deletes, sums.snapshots_count, (unsigned long long)sums.discards,
        (unsigned long long)sums.full, (unsigned long long)sums.killed_at_points);
    assert_true(sums.merges > 0 && sums.forced_merges > 0 && sums.deletes > 0 && sums.snapshots_count > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(killed_while_all_goes_on)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
