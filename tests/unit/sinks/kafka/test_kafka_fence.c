#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/clock.h"

#define SESSION_MS 1200 /* its half is waited for */

struct world {
    struct kafka_sink sink;
    struct kafka_consumer consumer, *consumers[1];
    struct kafka_static_partition static_partition;
};

static int setup(void **state)
{
    static struct world w;
    memset(&w, 0, sizeof w);
    w.consumers[0] = &w.consumer;
    w.sink.consumers = w.consumers;
    w.sink.consumers_count = 1;
    w.consumer.session_ms = SESSION_MS;
    w.consumer.partitions_count = 1; /* nobody looks at it */
    mutex_init(&w.consumer.lock, RANK_SINK);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    mutex_destroy(&w->consumer.lock);
    return 0;
}

static bool may_commit(struct world *w)
{
    return kafka_may_commit(&w->sink.base);
}

static void turn_for(struct world *w, int64_t ms)
{
    for (int64_t end = clock_monotonic_ms() + ms; clock_monotonic_ms() < end; clock_sleep_ms(50))
        kafka_fence_turned(&w->consumer);
    kafka_fence_turned(&w->consumer);
}

static void a_thread_that_stands_still_holds_commits_back(void **state)
{
    struct world *w = *state;
    assert_true(may_commit(w)); /* hasn't begun */
    kafka_fence_turned(&w->consumer);
    assert_true(may_commit(w));
    clock_sleep_ms(SESSION_MS / 2 + 50);
    assert_false(may_commit(w));
    w->consumer.partitions_count = 0;
    assert_true(may_commit(w)); /* it has nothing to lose */
    w->consumer.partitions_count = 1;
    kafka_fence_turned(&w->consumer);
    assert_false(may_commit(w)); /* the library may be about to notice what happened */
    turn_for(w, 1100);
    assert_true(may_commit(w));
}

static void rows_being_dropped_hold_commits_back(void **state)
{
    struct world *w = *state;
    kafka_fence_turned(&w->consumer);
    atomic_store(&w->consumer.discarding, true);
    assert_false(may_commit(w));
    w->sink.partitions_count = 1; /* nobody takes static ones away */
    assert_true(may_commit(w));
}

static void a_rebalance_waits_for_commits_but_not_for_ever(void **state)
{
    struct world *w = *state;
    kafka_fence_turned(&w->consumer);
    kafka_fence_wait(&w->consumer, SESSION_MS);
    clock_sleep_ms(SESSION_MS / 2 + 50);
    assert_true(may_commit(w));
    kafka_fence_turned(&w->consumer); /* it was that long on purpose */
    assert_true(may_commit(w));
    clock_sleep_ms(SESSION_MS / 2 + 50); /* the wait is over */
    assert_false(may_commit(w));

    turn_for(w, 1100);
    assert_true(may_commit(w));
    kafka_fence_wait(&w->consumer, SESSION_MS / 2);
    clock_sleep_ms(SESSION_MS / 2 + 50); /* stopped in the middle of it */
    assert_false(may_commit(w));
    kafka_fence_turned(&w->consumer);
    assert_false(may_commit(w));
}

static void a_thread_that_ends_holds_nothing_back(void **state)
{
    struct world *w = *state;
    kafka_fence_turned(&w->consumer);
    kafka_fence_leave(&w->consumer);
    clock_sleep_ms(SESSION_MS / 2 + 50);
    assert_true(may_commit(w));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_thread_that_stands_still_holds_commits_back),
        TEST(rows_being_dropped_hold_commits_back),
        TEST(a_rebalance_waits_for_commits_but_not_for_ever),
        TEST(a_thread_that_ends_holds_nothing_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
