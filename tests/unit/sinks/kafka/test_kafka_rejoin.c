/* After a start: partitions that nobody reads are looked for until brokers answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/sinks/kafka/kafka_fixture.h"

static void a_look_that_nobody_answered_is_tried_again(void **state)
{
    (void)state;
    struct batch_catcher catcher;
    struct error error;
    struct sink *base = kafka_fixture_new(&catcher, 1);
    struct kafka_consumer *c = ((struct kafka_sink *)base)->consumers[0];
    assert_int_equal(kafka_client_open(c, &error), 0);

    kafka_rejoin_serve(c);
    assert_int_equal(c->added_retry_ms, 0); /* nothing to ask */
    kafka_rejoin_restarted(c);
    for (int i = 0; i < 2; i++) {
        c->added_retry_ms = 0;
        kafka_rejoin_serve(c);
        int64_t retry_ms = c->added_retry_ms;
        assert_true(retry_ms > 0); /* it asked */
        assert_true(c->added_unknown);
        assert_false(c->rejoin_due);
        c->added_retry_ms = INT64_MAX;
        kafka_rejoin_serve(c);
        assert_true(c->added_retry_ms == INT64_MAX); /* not all the time */
        assert_true(c->added_unknown);
    }

    base->ops->free(base);
    batch_catcher_release(&catcher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_look_that_nobody_answered_is_tried_again)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
