/* What is done with partitions when rows of theirs are dropped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/sinks/kafka/kafka_fixture.h"

struct world {
    struct batch_catcher catcher;
    struct sink *base;
    struct kafka_consumer *consumer; /* without a client: nothing here asks the library */
};

static struct kafka_partition *add_partition(struct world *w, int32_t number, int64_t durable,
                                             int64_t accepted)
{
    struct intake *in = &w->catcher.intake;
    struct kafka_partition *p = kafka_partition_new(w->consumer, "metrics", number);
    struct sink_position position = kafka_position_encode(durable, NULL);
    in->ops->set_position(in, p->key.data, (uint32_t)p->key.len, &position);
    batch_catcher_commit(&w->catcher);
    position = kafka_position_encode(accepted, NULL);
    in->ops->set_position(in, p->key.data, (uint32_t)p->key.len, &position);
    p->next = accepted;
    p->attached = true;
    kafka_partitions_add(w->consumer, p);
    return p;
}

static int setup(void **state)
{
    static struct world w;
    w.base = kafka_fixture_new(&w.catcher, 1);
    w.consumer = ((struct kafka_sink *)w.base)->consumers[0];
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    w->base->ops->free(w->base);
    batch_catcher_release(&w->catcher);
    return 0;
}

static void only_what_was_set_back_is_attached_anew(void **state)
{
    struct world *w = *state;
    struct kafka_partition *quiet = add_partition(w, 0, 5, 5);
    struct kafka_partition *busy = add_partition(w, 1, 10, 30);
    kafka_discard_rows(w->consumer);
    assert_false(w->consumer->discard_due);
    assert_int_equal(quiet->next, 5);
    assert_true(kafka_partition_wanted(quiet));
    assert_int_equal(busy->next, 10);
    assert_false(kafka_partition_wanted(busy)); /* the library's next record of it is 30 */
}

/* With a cooperative protocol an assignment may stay unanswered for long, and what is kept is polled. */
static void records_behind_a_gap_are_not_taken_while_a_rebalance_is_pending(void **state)
{
    struct world *w = *state;
    struct kafka_partition *kept = add_partition(w, 0, 10, 30);
    atomic_store(&w->catcher.is_commit_under_way, true);
    kafka_discard_rows(w->consumer);
    assert_true(w->consumer->discard_due);
    kafka_discard_serve(w->consumer);
    assert_true(w->consumer->discard_due);
    assert_true(kafka_partition_wanted(kept)); /* its positions still follow each other */
    w->consumer->pending = KAFKA_PENDING_ASSIGN;
    batch_catcher_end_commit(&w->catcher);
    kafka_discard_serve(w->consumer);
    assert_false(w->consumer->discard_due);
    assert_int_equal(kept->next, 10);
    assert_false(kafka_partition_wanted(kept));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_what_was_set_back_is_attached_anew),
        TEST(records_behind_a_gap_are_not_taken_while_a_rebalance_is_pending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
