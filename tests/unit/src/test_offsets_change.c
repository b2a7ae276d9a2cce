#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "src/offsets_change.h"

#define SPOOL     "00112233445566778899aabbccddeeff"
#define SPOOL_KEY "field/mqtt/00112233445566778899aabbccddeeff"

static const char *const keys[] = {
    SPOOL_KEY,           "plant/kafka/X/m/0", "plant/kafka/X/m/1", "plant/kafka/X/n/0",
    "plant/kafka/Y/m/0", "plant/rejects",     "unknown key",       "rejects/topic/m",
};
enum { KEYS = sizeof keys / sizeof *keys };

static void fill(struct position_table *t)
{
    for (size_t i = 0; i < KEYS; i++) {
        struct storage_position p = {.next = 100 + i, .mark = {1}, .mark_len = 21};
        position_table_set(t, keys[i], (uint32_t)strlen(keys[i]), &p);
    }
}

static int apply(const struct offsets_change *c, struct position_table *t, const char *expected)
{
    struct buffer said = {0};
    struct error error = {0};
    size_t count = 0, lines = 0;
    fill(t);
    int r = offsets_change_apply(c, t, &said, &count, &error);
    for (size_t i = 0; i < said.len; i++)
        lines += said.data[i] == '\n';
    assert_int_equal(lines, count);
    if (r == 0)
        assert_string_equal(buffer_cstr(&said), expected);
    else if (!strstr(error.message, expected))
        fail_msg("%s, not %s", error.message, expected);
    buffer_release(&said);
    return r;
}

static const struct position_entry *find(const struct position_table *t, const char *key)
{
    return position_table_find(t, key, (uint32_t)strlen(key));
}

static void which(void **state)
{
    (void)state;
    static const int32_t one[] = {1};
    const struct {
        struct offsets_change change;
        const char *said;
    } cases[] = {
        {{.sink = "field", .action = OFFSETS_FORGET},
         "field: mqtt spool " SPOOL " at message 100 -> forgotten\n"},
        {{.spool = SPOOL, .action = OFFSETS_FORGET},
         "field: mqtt spool " SPOOL " at message 100 -> forgotten\n"},
        {{.topic = "m", .partitions = one, .partitions_count = 1, .action = OFFSETS_FORGET},
         "plant: kafka topic m partition 1 at offset 102 (cluster X) -> forgotten\n"},
        {{.cluster = "Y", .action = OFFSETS_FORGET},
         "plant: kafka topic m partition 0 at offset 104 (cluster Y) -> forgotten\n"},
        {{.sink = "plant", .topic = "n", .action = OFFSETS_FORGET},
         "plant: kafka topic n partition 0 at offset 103 (cluster X) -> forgotten\n"},
        {{.sink = "plant", .rejects = true, .action = OFFSETS_FORGET},
         "plant: rejects replayed up to byte 105 -> forgotten\n"},
        {{.rejects = true, .action = OFFSETS_FORGET}, /* not the topic: all would be sent again */
         "plant: rejects replayed up to byte 105 -> forgotten\n"},
        {{.rejects = true, .topic = "m", .action = OFFSETS_FORGET},
         "rejects sent to kafka topic m up to byte 107 -> forgotten\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct position_table t = {0};
        assert_int_equal(apply(&cases[i].change, &t, cases[i].said), 0);
        assert_int_equal(t.count, KEYS - 1);
        position_table_release(&t);
    }
    struct position_table t = {0};
    struct offsets_change c = {.sink = "fiel", .action = OFFSETS_FORGET};
    assert_int_equal(apply(&c, &t, "no position fits"), ERR_NOT_FOUND);
    assert_int_equal(t.count, KEYS);
    position_table_release(&t);
}

static void where_to(void **state)
{
    (void)state;
    struct position_table t = {0};
    struct offsets_change c = {.topic = "n", .action = OFFSETS_BEGIN, .begin = KAFKA_BEGIN_EARLIEST};
    assert_int_equal(
        apply(&c, &t, "plant: kafka topic n partition 0 at offset 103 (cluster X) -> its earliest record\n"),
        0);
    const struct position_entry *e = find(&t, "plant/kafka/X/n/0");
    struct sink_position p = {.next = e->position.next, .mark_len = e->position.mark_len};
    memcpy(p.mark, e->position.mark, sizeof p.mark);
    int64_t value;
    assert_int_equal(kafka_position_begin(&p, &value), KAFKA_BEGIN_EARLIEST);
    assert_int_equal(find(&t, "plant/kafka/X/m/0")->position.next, 101); /* the others stay */
    position_table_release(&t);

    c = (struct offsets_change){
        .spool = SPOOL, .action = OFFSETS_BEGIN, .begin = KAFKA_BEGIN_OFFSET, .value = 7};
    assert_int_equal(apply(&c, &t, "field: mqtt spool " SPOOL " at message 100 -> message 7\n"), 0);
    e = find(&t, "field/mqtt/" SPOOL);
    assert_int_equal(e->position.next, 7);
    assert_int_equal(e->position.mark_len, 0);
    position_table_release(&t);
}

static void what_cannot_be(void **state)
{
    (void)state;
    struct position_table t = {0};
    struct offsets_change c = {.all = true, .action = OFFSETS_BEGIN, .begin = KAFKA_BEGIN_LATEST};
    assert_int_equal(apply(&c, &t, "field reads an MQTT spool"), ERR_INVALID);
    assert_int_equal(find(&t, "plant/kafka/X/m/0")->position.next, 101); /* all or nothing */
    position_table_release(&t);
    c = (struct offsets_change){.rejects = true, .action = OFFSETS_BEGIN, .begin = KAFKA_BEGIN_OFFSET};
    assert_int_equal(apply(&c, &t, "only be forgotten"), ERR_INVALID);
    position_table_release(&t);
    c.topic = "m";
    assert_int_equal(apply(&c, &t, "only be forgotten"), ERR_INVALID);
    position_table_release(&t);
    c = (struct offsets_change){
        .rejects = true, .topic = "m", .action = OFFSETS_RENAME, .sink = "rejects", .new_name = "werk"};
    assert_int_equal(apply(&c, &t, "no position fits"), ERR_NOT_FOUND);
    position_table_release(&t);
}

static void rename_a_sink(void **state)
{
    (void)state;
    struct position_table t = {0};
    struct offsets_change c = {
        .sink = "plant", .topic = "m", .cluster = "X", .action = OFFSETS_RENAME, .new_name = "werk"};
    assert_int_equal(apply(&c, &t,
                           "plant: kafka topic m partition 0 at offset 101 (cluster X) -> sink werk\n"
                           "plant: kafka topic m partition 1 at offset 102 (cluster X) -> sink werk\n"),
                     0);
    assert_null(find(&t, "plant/kafka/X/m/0"));
    const struct position_entry *e = find(&t, "werk/kafka/X/m/1");
    assert_int_equal(e->position.next, 102);
    assert_int_equal(e->position.mark_len, 21); /* with its fingerprint */
    assert_int_equal(
        apply(&c, &t, "there's a position of that name already: werk: kafka topic m partition 0"),
        ERR_INVALID);
    position_table_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which),
        cmocka_unit_test(where_to),
        cmocka_unit_test(what_cannot_be),
        cmocka_unit_test(rename_a_sink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
