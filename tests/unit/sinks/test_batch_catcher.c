/* The double has to cut where the real intake does, or tests of sinks find losses that there are none of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdio.h>

#include "src/base/thread.h"
#include "tests/doubles/batch_catcher.h"

#define ROUNDS     500
#define ROWS_EACH  10
#define SOURCE     "plant/x/0"
#define SOURCE_LEN 9

static void deliver_row(struct intake *in, struct intake_worker *w, const struct decode_options *options,
                        struct sample_batch *batch, uint64_t number)
{
    char text[32];
    const char *reason = NULL;
    int len = snprintf(text, sizeof text, "k%llu", (unsigned long long)number);
    struct message m = {.payload = span_of(text, (size_t)len)};
    sample_batch_clear(batch);
    (void)catcher_decoder.decode(options, &m, batch, &reason);
    in->ops->deliver(in, w, batch, 1, NULL);
}

static void hand_over_all(void *arg)
{
    struct intake *in = arg;
    struct decode_options options = {0};
    struct sample_batch batch = {0};
    struct intake_worker *w = in->ops->worker_new(in, "plant", &catcher_decoder, &options);
    for (uint64_t at = 0; at < (uint64_t)ROUNDS * ROWS_EACH; at += ROWS_EACH) {
        struct error error = {0};
        struct sink_position to = {.next = at + ROWS_EACH};
        in->ops->begin(in, w);
        assert_int_equal(in->ops->hand_over(in, w, SOURCE, SOURCE_LEN, at, &to, &error), 0);
        (void)sched_yield(); /* where a commit must not fall */
        for (uint64_t i = at; i < to.next; i++)
            deliver_row(in, w, &options, &batch, i);
        in->ops->end(in, w);
    }
    in->ops->worker_free(in, w);
    sample_batch_release(&batch);
}

static void a_commit_has_the_rows_of_its_positions(void **state)
{
    (void)state;
    struct batch_catcher c;
    struct thread thread = {0};
    struct sink_position durable = {0};
    batch_catcher_init(&c, "store");
    c.intake.ops->set_position(&c.intake, SOURCE, SOURCE_LEN, &durable);
    thread_start(&thread, "hand-over", hand_over_all, &c.intake);
    while (durable.next < (uint64_t)ROUNDS * ROWS_EACH) {
        batch_catcher_commit(&c);
        mutex_lock(&c.lock);
        size_t rows = c.rows_durable;
        durable = c.positions[0].durable;
        mutex_unlock(&c.lock);
        assert_int_equal(rows, durable.next);
        (void)sched_yield();
    }
    thread_join(&thread);
    size_t missing, extra;
    batch_catcher_compare(&c, "k", (size_t)ROUNDS * ROWS_EACH, &missing, &extra);
    assert_int_equal(missing, 0);
    assert_int_equal(extra, 0);
    batch_catcher_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_has_the_rows_of_its_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
