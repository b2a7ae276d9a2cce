/* Metrics while a message takes its time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "src/base/clock.h"
#include "tests/unit/sinks/kafka/kafka_fixture.h"

struct delivery {
    struct kafka_consumer *consumer;
    atomic_bool has_begun, may_end;
};

/* Holds the consumer's lock, as a delivery does. */
static void deliver(void *arg)
{
    struct delivery *d = arg;
    mutex_lock(&d->consumer->lock);
    atomic_store(&d->has_begun, true);
    while (!atomic_load(&d->may_end))
        clock_sleep_ms(5);
    mutex_unlock(&d->consumer->lock);
}

static void metrics_dont_wait_for_a_message(void **state)
{
    (void)state;
    struct batch_catcher catcher;
    struct error error;
    struct buffer text = {0};
    struct sink *base = kafka_fixture_new(&catcher, 2);
    assert_int_equal(base->ops->start(base, &error), 0);
    struct kafka_sink *s = (struct kafka_sink *)base;
    struct kafka_consumer *c = s->consumers[0];

    mutex_lock(&c->shown.lock);
    buffer_append_str(&c->shown.text, "shown before\n");
    c->shown.assigned = 7;
    mutex_unlock(&c->shown.lock);
    struct delivery delivery = {.consumer = c};
    struct thread thread;
    thread_start(&thread, "delivery", deliver, &delivery);
    while (!atomic_load(&delivery.has_begun))
        clock_sleep_ms(5);
    int64_t before_ms = clock_monotonic_ms();
    base->ops->metrics(base, &text);
    assert_in_range(clock_monotonic_ms() - before_ms, 300, 10000);
    atomic_store(&delivery.may_end, true);
    thread_join(&thread);
    assert_non_null(strstr(buffer_cstr(&text), "shown before\n"));
    assert_non_null(strstr(buffer_cstr(&text), "varve_kafka_partitions_assigned{sink=\"plant\"} 7\n"));

    buffer_clear(&text);
    base->ops->metrics(base, &text);
    assert_null(strstr(buffer_cstr(&text), "shown before\n"));
    assert_non_null(strstr(buffer_cstr(&text), "varve_kafka_partitions_assigned{sink=\"plant\"} 0\n"));
    base->ops->stop_intake(base);
    base->ops->stop(base);
    base->ops->free(base);
    buffer_release(&text);
    batch_catcher_release(&catcher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(metrics_dont_wait_for_a_message)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
