#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "sinks/kafka/kafka_internal.h"
#include "src/base/alloc.h"

/* As librdkafka 2.0.2 and 2.8.0 say it. */
static const char *const joins[] = {
    "[thrd:main]: Group \"g\" changed join state steady -> init (state up)",
    "[thrd:main]: Group \"g\" changed join state init -> wait-join (state up)",
    "[thrd:main]: Group \"g\" changed join state wait-join -> wait-metadata (state up)",
    "[thrd:main]: Group \"g\" changed join state wait-metadata -> wait-sync (state up)",
    "[thrd:main]: Group \"g\" changed join state wait-sync -> wait-assign-call (state up)",
};
static const char is_steady[] =
    "[thrd:main]: Group \"steady -> \" changed join state wait-assign-call -> steady (state up)";

static void the_log_says_when_the_group_is_between_two_generations(void **state)
{
    (void)state;
    struct kafka_consumer *c = xcalloc(1, sizeof *c);
    assert_false(c->between_generations);
    for (size_t i = 0; i < sizeof joins / sizeof *joins; i++) {
        kafka_generation_note(c, "CGRPJOINSTATE", joins[i]);
        assert_true(c->between_generations);
        kafka_generation_note(c, "CGRPOP", is_steady);
        kafka_generation_note(c, "CGRPJOINSTATE", "something else");
        assert_true(c->between_generations);
    }
    kafka_generation_note(c, "CGRPJOINSTATE", is_steady);
    assert_false(c->between_generations);
    free(c);
}

static void say(struct kafka_consumer *c, const char *from, const char *to)
{
    char text[128];
    (void)snprintf(text, sizeof text, "[thrd:main]: Group \"g\" changed join state %s -> %s (state up)", from,
                   to);
    kafka_generation_note(c, "CGRPJOINSTATE", text);
}

/* What the library says when it joins anew while an assignment waits for its answer. */
static void an_assignment_is_void_once_the_library_has_joined_anew(void **state)
{
    (void)state;
    struct kafka_sink s = {0};
    struct kafka_consumer *c = xcalloc(1, sizeof *c);
    c->sink = &s;
    assert_false(kafka_generation_overtook(c)); /* isn't watched */
    say(c, "wait-sync", "wait-assign-call");
    c->pending_offer = c->offers;
    assert_false(kafka_generation_overtook(c)); /* the library refused the answer: for other reasons */
    say(c, "wait-assign-call", "steady");
    assert_false(kafka_generation_overtook(c));

    say(c, "steady", "wait-unassign-call");
    say(c, "wait-unassign-call", "wait-unassign-to-complete");
    say(c, "wait-unassign-to-complete", "init");
    assert_false(c->discarding);
    say(c, "init", "wait-join");
    say(c, "wait-sync", "wait-assign-call");
    c->pending_offer = c->offers;
    say(c, "wait-assign-call", "init");
    assert_true(kafka_generation_overtook(c));
    say(c, "init", "wait-join");
    assert_true(kafka_generation_overtook(c));
    say(c, "wait-sync", "wait-assign-call"); /* the next one, of which the callback doesn't know yet */
    assert_true(kafka_generation_overtook(c));
    say(c, "wait-assign-call", "steady"); /* answered with the list of the one before */
    assert_true(kafka_generation_overtook(c));
    c->pending_offer = c->offers;
    assert_false(kafka_generation_overtook(c));
    free(c);
}

static void a_revoke_that_is_given_up_is_a_loss(void **state)
{
    (void)state;
    struct kafka_sink s = {0};
    struct kafka_consumer *c = xcalloc(1, sizeof *c);
    c->sink = &s;
    say(c, "steady", "wait-unassign-call");
    assert_false(c->discarding);
    say(c, "wait-unassign-call", "init");
    assert_true(c->discarding);
    assert_true(c->revoke_overtaken);
    free(c);
}

static void protocols_that_have_to_be_are_watched(void **state)
{
    (void)state;
    struct kafka_property properties[] = {{"partition.assignment.strategy", "cooperative-sticky"},
                                          {"debug", "broker"}};
    struct kafka_sink s = {.properties = properties, .properties_count = 1};
    assert_int_equal(kafka_generation_is_watched(&s), rd_kafka_version() < 0x020a0000);
    s.properties_count = 2; /* the operator's own wins */
    assert_false(kafka_generation_is_watched(&s));
    s.properties_count = 1;
    properties[0].value = "range";
    assert_true(kafka_generation_is_watched(&s));
    s.properties_count = 0;
    assert_true(kafka_generation_is_watched(&s));
    s.partitions_count = 1; /* without a group */
    assert_false(kafka_generation_is_watched(&s));
}

static void callback(struct kafka_consumer *c, bool is_assign, bool is_cooperative, int32_t first,
                     int32_t end)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(4);
    for (int32_t i = first; i < end; i++)
        rd_kafka_topic_partition_list_add(list, "t", i);
    kafka_pending_note(c, list, is_assign, is_cooperative);
    rd_kafka_topic_partition_list_destroy(list);
}

/* The partitions that are pending are first .. end - 1. */
static void assert_pending(const struct kafka_consumer *c, enum kafka_pending pending, int32_t first,
                           int32_t end)
{
    assert_int_equal(c->pending, pending);
    assert_int_equal(c->pending_list->cnt, end - first);
    for (int32_t i = first; i < end; i++)
        assert_non_null(rd_kafka_topic_partition_list_find(c->pending_list, "t", i));
}

static void an_assignment_that_was_not_answered_stays_due(void **state)
{
    (void)state;
    struct kafka_consumer *c = xcalloc(1, sizeof *c);
    callback(c, true, true, 0, 2);
    callback(c, true, true, 2, 2); /* the next round counts them as ours already */
    assert_pending(c, KAFKA_PENDING_ASSIGN, 0, 2);
    callback(c, true, true, 1, 4);
    assert_pending(c, KAFKA_PENDING_ASSIGN, 0, 4);
    callback(c, false, true, 2, 8); /* some of them are taken away again */
    assert_pending(c, KAFKA_PENDING_REVOKE, 2, 8);
    kafka_pending_answered(c);
    assert_pending(c, KAFKA_PENDING_ASSIGN, 0, 2);
    callback(c, false, true, 0, 2);
    kafka_pending_answered(c);
    assert_int_equal(c->pending, KAFKA_PENDING_NONE);
    callback(c, true, false, 0, 3);
    callback(c, true, false, 1, 2); /* an eager protocol's is the whole */
    assert_pending(c, KAFKA_PENDING_ASSIGN, 1, 2);
    kafka_pending_answered(c);
    assert_int_equal(c->pending, KAFKA_PENDING_NONE);
    callback(c, false, false, 0, 4);
    callback(c, true, false, 2, 5); /* before the revoke was answered */
    assert_pending(c, KAFKA_PENDING_REVOKE, 0, 4);
    kafka_pending_answered(c);
    assert_pending(c, KAFKA_PENDING_ASSIGN, 2, 5);
    kafka_pending_answered(c);
    assert_int_equal(c->pending, KAFKA_PENDING_NONE);
    callback(c, true, true, 0, 3);
    callback(c, false, true, 5, 6);
    kafka_pending_forget(c);
    assert_null(c->unanswered);
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_log_says_when_the_group_is_between_two_generations),
        cmocka_unit_test(an_assignment_is_void_once_the_library_has_joined_anew),
        cmocka_unit_test(a_revoke_that_is_given_up_is_a_loss),
        cmocka_unit_test(protocols_that_have_to_be_are_watched),
        cmocka_unit_test(an_assignment_that_was_not_answered_stays_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
