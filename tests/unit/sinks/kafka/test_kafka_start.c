#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sinks/kafka/kafka_start.h"

#define NONE     KAFKA_OFFSET_NONE
#define OWN(n)   true, n
#define UNKNOWN  false, 0
#define FIRST    false
#define LATER    true
#define RECORD   true
#define AS_IT_IS false
#define WARNS    true
#define SILENT   false

static void start_of_a_partition(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct kafka_start_input in;
        struct kafka_start_decision out;
    } cases[] = {
        {"nothing known",
         {UNKNOWN, NONE, KAFKA_OWNER_NONE, KAFKA_START_EARLIEST, FIRST},
         {KAFKA_FROM_EARLIEST, 0, RECORD, SILENT}},
        {"nothing known, latest",
         {UNKNOWN, NONE, KAFKA_OWNER_NONE, KAFKA_START_LATEST, FIRST},
         {KAFKA_FROM_LATEST, 0, RECORD, SILENT}},
        {"nothing known, a time",
         {UNKNOWN, NONE, KAFKA_OWNER_NONE, KAFKA_START_TIMESTAMP, FIRST},
         {KAFKA_FROM_TIMESTAMP, 0, RECORD, SILENT}},
        {"a partition added later isn't begun at its end",
         {UNKNOWN, NONE, KAFKA_OWNER_NONE, KAFKA_START_LATEST, LATER},
         {KAFKA_FROM_EARLIEST, 0, RECORD, SILENT}},
        {"... nor at a time",
         {UNKNOWN, NONE, KAFKA_OWNER_NONE, KAFKA_START_TIMESTAMP, LATER},
         {KAFKA_FROM_EARLIEST, 0, RECORD, SILENT}},
        {"the group's, without one of ours",
         {UNKNOWN, 70, KAFKA_OWNER_NONE, KAFKA_START_LATEST, FIRST},
         {KAFKA_FROM_GROUP, 70, RECORD, SILENT}},
        {"... 0 is an offset",
         {UNKNOWN, 0, KAFKA_OWNER_FOREIGN, KAFKA_START_LATEST, FIRST},
         {KAFKA_FROM_GROUP, 0, RECORD, SILENT}},
        {"... even if our metadata is on it",
         {UNKNOWN, 70, KAFKA_OWNER_OURS, KAFKA_START_EARLIEST, FIRST},
         {KAFKA_FROM_GROUP, 70, RECORD, SILENT}},
        {"... or another store's",
         {UNKNOWN, 70, KAFKA_OWNER_OTHER_STORE, KAFKA_START_EARLIEST, LATER},
         {KAFKA_FROM_GROUP, 70, RECORD, SILENT}},
        {"ours, without a group's",
         {OWN(50), NONE, KAFKA_OWNER_NONE, KAFKA_START_LATEST, FIRST},
         {KAFKA_FROM_OWN, 50, AS_IT_IS, SILENT}},
        {"ours: the group lags",
         {OWN(50), 40, KAFKA_OWNER_OURS, KAFKA_START_EARLIEST, FIRST},
         {KAFKA_FROM_OWN, 50, AS_IT_IS, SILENT}},
        {"ours: we were restored, the group is ahead",
         {OWN(50), 90, KAFKA_OWNER_OURS, KAFKA_START_EARLIEST, FIRST},
         {KAFKA_FROM_OWN, 50, AS_IT_IS, SILENT}},
        {"another store read on",
         {OWN(50), 90, KAFKA_OWNER_OTHER_STORE, KAFKA_START_EARLIEST, FIRST},
         {KAFKA_FROM_GROUP, 90, RECORD, SILENT}},
        {"another store is behind us",
         {OWN(50), 40, KAFKA_OWNER_OTHER_STORE, KAFKA_START_EARLIEST, FIRST},
         {KAFKA_FROM_OWN, 50, AS_IT_IS, SILENT}},
        {"another store, equal",
         {OWN(50), 50, KAFKA_OWNER_OTHER_STORE, KAFKA_START_EARLIEST, FIRST},
         {KAFKA_FROM_OWN, 50, AS_IT_IS, SILENT}},
        {"an operator moved it back",
         {OWN(50), 10, KAFKA_OWNER_NONE, KAFKA_START_EARLIEST, FIRST},
         {KAFKA_FROM_OWN, 50, AS_IT_IS, WARNS}},
        {"an operator moved it on",
         {OWN(50), 99, KAFKA_OWNER_NONE, KAFKA_START_EARLIEST, FIRST},
         {KAFKA_FROM_OWN, 50, AS_IT_IS, WARNS}},
        {"some other program",
         {OWN(50), 51, KAFKA_OWNER_FOREIGN, KAFKA_START_EARLIEST, FIRST},
         {KAFKA_FROM_OWN, 50, AS_IT_IS, WARNS}},
        {"some other program, the same place",
         {OWN(50), 50, KAFKA_OWNER_FOREIGN, KAFKA_START_EARLIEST, FIRST},
         {KAFKA_FROM_OWN, 50, AS_IT_IS, SILENT}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kafka_start_decision got = kafka_start_decide(&cases[i].in);
        const struct kafka_start_decision *want = &cases[i].out;
        if (got.source != want->source || got.offset != want->offset || got.record != want->record ||
            got.warn_group_moved != want->warn_group_moved)
            fail_msg("%s: from %d, offset %lld, record %d, warn %d", cases[i].what, got.source,
                     (long long)got.offset, got.record, got.warn_group_moved);
    }
}

static void a_commit_meant_for_another_cluster(void **state)
{
    (void)state;
    assert_true(kafka_start_is_stray(false, 50, KAFKA_OWNER_OURS, true, 50));
    assert_true(kafka_start_is_stray(false, 0, KAFKA_OWNER_OURS, true, 50)); /* not the last one */
    /* Made here: */
    assert_false(kafka_start_is_stray(false, 51, KAFKA_OWNER_OURS, true, 50));
    assert_false(kafka_start_is_stray(true, 50, KAFKA_OWNER_OURS, true, 50));
    assert_false(kafka_start_is_stray(false, 50, KAFKA_OWNER_OURS, true, -1));  /* no other is known */
    assert_false(kafka_start_is_stray(false, 50, KAFKA_OWNER_OURS, false, 50)); /* refused to members */
    assert_false(kafka_start_is_stray(false, 50, KAFKA_OWNER_OTHER_STORE, true, 50));
    assert_false(kafka_start_is_stray(false, 50, KAFKA_OWNER_NONE, true, 50)); /* an operator's */
    assert_false(kafka_start_is_stray(false, KAFKA_OFFSET_NONE, KAFKA_OWNER_OURS, true, 50));
}

static void offset_out_of_range(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct kafka_range_input in;
        struct kafka_range_decision out;
    } cases[] = {
        {"retention passed us",
         {50, 80, 120, KAFKA_RECREATED_STOP, KAFKA_OUT_OF_RANGE_EARLIEST},
         {KAFKA_RANGE_RESTART, 80, 30, "out_of_range"}},
        {"... and that's to be looked at",
         {50, 80, 120, KAFKA_RECREATED_EARLIEST, KAFKA_OUT_OF_RANGE_STOP},
         {KAFKA_RANGE_HALT, 80, 30, "out_of_range"}},
        {"only the record to compare is gone",
         {80, 80, 120, KAFKA_RECREATED_STOP, KAFKA_OUT_OF_RANGE_STOP},
         {KAFKA_RANGE_CONTINUE, 80, 0, NULL}},
        {"all is gone, and we have read all",
         {120, 120, 120, KAFKA_RECREATED_STOP, KAFKA_OUT_OF_RANGE_STOP},
         {KAFKA_RANGE_CONTINUE, 120, 0, NULL}},
        {"the log ends before us",
         {121, 80, 120, KAFKA_RECREATED_STOP, KAFKA_OUT_OF_RANGE_EARLIEST},
         {KAFKA_RANGE_HALT, 80, 0, "topic_recreated"}},
        {"... and we are to begin again",
         {121, 0, 120, KAFKA_RECREATED_EARLIEST, KAFKA_OUT_OF_RANGE_STOP},
         {KAFKA_RANGE_RESTART, 0, 0, "topic_recreated"}},
        {"an empty new topic",
         {5, 0, 0, KAFKA_RECREATED_EARLIEST, KAFKA_OUT_OF_RANGE_STOP},
         {KAFKA_RANGE_RESTART, 0, 0, "topic_recreated"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kafka_range_decision got = kafka_range_decide(&cases[i].in);
        const struct kafka_range_decision *want = &cases[i].out;
        if (got.action != want->action || got.offset != want->offset || got.gap != want->gap ||
            (want->reason != got.reason &&
             (!want->reason || !got.reason || strcmp(want->reason, got.reason) != 0)))
            fail_msg("%s: action %d, offset %lld, gap %llu", cases[i].what, got.action, (long long)got.offset,
                     (unsigned long long)got.gap);
    }
}

static void start_by_order(void **state)
{
    (void)state;
    static const struct {
        enum kafka_begin begin;
        int64_t value;
        struct kafka_start_decision out;
    } cases[] = {
        {KAFKA_BEGIN_EARLIEST, 0, {KAFKA_FROM_EARLIEST, 0, RECORD, SILENT}},
        {KAFKA_BEGIN_LATEST, 0, {KAFKA_FROM_LATEST, 0, RECORD, SILENT}},
        {KAFKA_BEGIN_TIMESTAMP, 1793491200000, {KAFKA_FROM_TIMESTAMP, 1793491200000, RECORD, SILENT}},
        {KAFKA_BEGIN_OFFSET, 20, {KAFKA_FROM_OWN, 20, RECORD, SILENT}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kafka_start_decision d = kafka_start_ordered(cases[i].begin, cases[i].value);
        assert_int_equal(d.source, cases[i].out.source);
        assert_int_equal(d.offset, cases[i].out.offset);
        assert_true(d.record && !d.warn_group_moved);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_of_a_partition),
        cmocka_unit_test(a_commit_meant_for_another_cluster),
        cmocka_unit_test(start_by_order),
        cmocka_unit_test(offset_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
