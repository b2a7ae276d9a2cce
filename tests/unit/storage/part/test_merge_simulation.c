/*
 * A month in which rows are flushed every 5 s, in simulated time: how often is a byte written, and how many
 * parts are there? Small and big merges have workers of their own that need time for what they merge, and
 * take what is to take as merge_select does: groups that end as a small part, and those that end as a big
 * one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "storage/part/merge_pick.h"

#define FLUSH_S   5
#define PARTS_MAX 4096
#define WORKERS   2
#define SMALL_MAX UINT64_C(300000000)
#define OUT_MAX   UINT64_C(1000000000000)
/* Sanitizers make it five times as long. */
#ifdef VARVE_SANITIZED
#define DAYS 3
#else
#define DAYS 30
#endif

struct sim_part {
    struct merge_candidate size;
    bool big, merging, gone;
};

struct sim_worker {
    bool busy, big;
    double until;
    struct sim_part result;
    size_t sources[MERGE_PARTS_MAX], sources_count;
};

struct simulation {
    struct sim_part parts[PARTS_MAX];
    size_t count;
    struct sim_worker workers[2][WORKERS]; /* small, big */
    double bytes_per_s;
    uint64_t flushed, written;
    size_t most_small, most_big, most_small_settled;
};

static struct simulation sim;

static size_t collect(bool big, struct merge_candidate *ret, size_t *ret_index)
{
    size_t n = 0;
    for (size_t i = 0; i < sim.count; i++) {
        if (sim.parts[i].big != big || sim.parts[i].merging || sim.parts[i].gone)
            continue;
        ret[n] = sim.parts[i].size;
        ret_index[n++] = i;
    }
    return n;
}

/* As pick_small in merge_select.c. */
static size_t choose(bool want_big, bool from_big, size_t *ret)
{
    static struct merge_candidate candidates[PARTS_MAX];
    static size_t index[PARTS_MAX];
    size_t n = collect(from_big, candidates, index), picked[MERGE_PARTS_MAX], count;
    while ((count = merge_pick(candidates, n, MERGE_PARTS_MAX, OUT_MAX, true, picked)) > 0) {
        uint64_t sum = 0;
        for (size_t i = 0; i < count; i++) {
            sum += candidates[picked[i]].size;
            ret[i] = index[picked[i]];
        }
        if (from_big || want_big == (sum > SMALL_MAX))
            return count;
        for (size_t i = 0; i < count; i++)
            candidates[picked[i]].size = UINT64_MAX;
        size_t kept = 0;
        for (size_t i = 0; i < n; i++) {
            if (candidates[i].size == UINT64_MAX)
                continue;
            candidates[kept] = candidates[i];
            index[kept++] = index[i];
        }
        n = kept;
    }
    return 0;
}

static bool begin(struct sim_worker *w, bool big, double now)
{
    w->sources_count = choose(big, false, w->sources);
    if (!w->sources_count && big)
        w->sources_count = choose(true, true, w->sources);
    if (!w->sources_count)
        return false;
    w->result = (struct sim_part){.size = {0, INT64_MAX}, .big = big};
    for (size_t i = 0; i < w->sources_count; i++) {
        struct sim_part *p = &sim.parts[w->sources[i]];
        p->merging = true;
        w->result.size.size += p->size.size;
        if (p->size.min_timestamp < w->result.size.min_timestamp)
            w->result.size.min_timestamp = p->size.min_timestamp;
    }
    w->busy = true;
    w->until = now + (double)w->result.size.size / sim.bytes_per_s;
    return true;
}

/* Workers know their sources by index, so places that are free are filled, not closed. */
static void add(struct sim_part p)
{
    size_t i = 0;
    while (i < sim.count && !sim.parts[i].gone)
        i++;
    assert_true(i < PARTS_MAX);
    sim.parts[i] = p;
    sim.count += i == sim.count;
}

static void end(struct sim_worker *w)
{
    w->busy = false;
    sim.written += w->result.size.size;
    sim.parts[w->sources[0]] = w->result;
    for (size_t i = 1; i < w->sources_count; i++)
        sim.parts[w->sources[i]].gone = true;
}

static void work(double now)
{
    for (size_t b = 0; b < 2; b++)
        for (size_t i = 0; i < WORKERS; i++)
            if (sim.workers[b][i].busy && sim.workers[b][i].until <= now)
                end(&sim.workers[b][i]);
    for (size_t b = 0; b < 2; b++)
        for (size_t i = 0; i < WORKERS; i++)
            while (!sim.workers[b][i].busy && begin(&sim.workers[b][i], b == 1, now))
                ;
}

static void count_parts(void)
{
    size_t small = 0, big = 0, small_idle = 0;
    for (size_t i = 0; i < sim.count; i++) {
        const struct sim_part *p = &sim.parts[i];
        small += !p->gone && !p->big;
        small_idle += !p->gone && !p->big && !p->merging;
        big += !p->gone && p->big;
    }
    sim.most_small = small > sim.most_small ? small : sim.most_small;
    sim.most_small_settled = small_idle > sim.most_small_settled ? small_idle : sim.most_small_settled;
    sim.most_big = big > sim.most_big ? big : sim.most_big;
}

static void run(const char *name, uint64_t flush_bytes, double bytes_per_s)
{
    sim = (struct simulation){.bytes_per_s = bytes_per_s};
    srand(20);
    for (int64_t t = 0; t < DAYS * 86400; t += FLUSH_S) {
        /* More by day than by night, and each flush a little different. */
        uint64_t day = (uint64_t)(t % 86400 < 43200 ? 16 : 4);
        struct sim_part p = {.size = {flush_bytes * day / 10 * (90 + (uint64_t)rand() % 20) / 100, t}};
        sim.flushed += p.size.size;
        add(p);
        work((double)t);
        count_parts();
    }
    double amplification = (double)(sim.flushed + sim.written) / (double)sim.flushed;
    print_message("%s: %.1f GB, write amplification %.2f, at most %zu small parts (%zu idle), %zu big\n",
                  name, (double)sim.flushed / 1e9, amplification, sim.most_small, sim.most_small_settled,
                  sim.most_big);
    assert_true(amplification < 7);
    assert_true(sim.most_small_settled < 60);
    assert_true(sim.most_small < 80);
    assert_true(sim.most_big < 40);
}

static void a_month_of_a_small_store(void **state)
{
    (void)state;
    run("50 kB a flush", 50000, 50e6);
}

static void a_month_of_a_large_store(void **state)
{
    (void)state;
    run("1 MB a flush", 1000000, 50e6);
}

/* The disk is hardly faster than what comes in: big merges take hours, and hold up no small ones. */
static void a_month_on_a_slow_disk(void **state)
{
    (void)state;
    run("1 MB a flush, 2 MB/s", 1000000, 2e6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_month_of_a_small_store),
        cmocka_unit_test(a_month_of_a_large_store),
        cmocka_unit_test(a_month_on_a_slow_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
