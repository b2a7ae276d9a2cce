#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "src/base/endian.h"
#include "storage/fs/fs.h"
#include "storage/series/metric_name.h"
#include "storage/series/tsid_generate.h"
#include "tests/unit/storage/mergeset/item_fixture.h"

static struct metric_label label_of(const char *name, const char *value)
{
    return (struct metric_label){name, (uint32_t)strlen(name), value, (uint32_t)strlen(value)};
}

static void assert_canonical(const struct metric_label *labels, size_t count, const char *expected,
                             size_t expected_len)
{
    struct buffer name = {0};
    metric_name_canonical(&name, labels, count);
    assert_int_equal(name.len, expected_len);
    assert_memory_equal(name.data, expected, expected_len);
    buffer_release(&name);
}
#define ASSERT_CANONICAL(labels, expected) \
    assert_canonical(labels, sizeof(labels) / sizeof *(labels), expected, sizeof(expected) - 1)

/* Format 6: temp{job="j",instance="i:1",room="a\x01b"}. */
static void test_worked_example(void **state)
{
    (void)state;
    const struct metric_label labels[] = {label_of("room", "a\001b"), label_of("instance", "i:1"),
                                          label_of("__name__", "temp"), label_of("job", "j")};
    ASSERT_CANONICAL(labels, "temp\1job\1j\1instance\1i:1\1room\1a\0"
                             "1b\1");
    struct buffer name = {0};
    metric_name_canonical(&name, labels, 4);
    struct tsid tsid;
    struct error err;
    assert_int_equal(tsid_generate(&tsid, name.data, name.len, UINT64_C(0x18eae631a2745124), &err), 0);
    uint8_t bytes[TSID_SIZE];
    tsid_put(bytes, &tsid);
    static const uint8_t expected[] = {0x2f, 0x66, 0x1a, 0xf4, 0xd8, 0x4d, 0xd8, 0x89,
                                       0x1f, 0x39, 0x2a, 0x0a, 0x31, 0xf0, 0xa1, 0x67,
                                       0x18, 0xea, 0xe6, 0x31, 0xa2, 0x74, 0x51, 0x24};
    assert_memory_equal(bytes, expected, sizeof expected);

    struct metric_name mn = {0};
    assert_int_equal(metric_name_parse(&mn, name.data, name.len, &err), 0);
    assert_int_equal(mn.tags_count, 3);
    assert_memory_equal(mn.tags[2].value.data, "a\001b", 3);
    assert_int_equal(metric_name_tag_value(&mn, "instance", 8).len, 3);
    assert_int_equal(metric_name_tag_value(&mn, "__name__", 8).len, 4);
    assert_null(metric_name_tag_value(&mn, "none", 4).data);
    metric_name_release(&mn);
    buffer_release(&name);
}

static void test_tsid_of_few_tags(void **state)
{
    (void)state;
    struct tsid tsid;
    struct error err;
    assert_int_equal(tsid_generate(&tsid, (const uint8_t *)"\1", 1, 7, &err), 0);
    assert_int_equal(tsid.metric_group_id, UINT64_C(0xef46db3751d8e999)); /* of the empty string */
    assert_int_equal(tsid.job_id, 0);
    assert_int_equal(tsid.instance_id, 0);
    assert_int_equal(tsid.metric_id, 7);
    assert_int_equal(tsid_generate(&tsid, (const uint8_t *)"m\1job\1x", 7, 7, &err), ERR_CORRUPT);
    assert_int_equal(tsid_generate(&tsid, NULL, 0, 7, &err), ERR_CORRUPT);
}

static void test_rules(void **state)
{
    (void)state;
    const struct metric_label empty_values[] = {label_of("a", ""), label_of("__name__", "m"),
                                                label_of("__name__", ""), label_of("b", "1")};
    ASSERT_CANONICAL(empty_values, "m\1b\0011\1");
    const struct metric_label last_wins[] = {label_of("a", "1"), label_of("b", "2"), label_of("a", "3"),
                                             label_of("", "x"), label_of("__name__", "y")};
    ASSERT_CANONICAL(last_wins, "y\1a\0013\1b\0012\1");
    /* Job and job share a sort key, so a stable sort leaves them as they came, and equal names needn't be
     * neighbours. */
    const struct metric_label aliases[] = {label_of("job", "1"), label_of("Job", "2"), label_of("job", "3")};
    ASSERT_CANONICAL(aliases, "\1job\0011\1Job\0012\1job\0013\1");
    const struct metric_label order[] = {label_of("zone", "1"),        label_of("host", "2"),
                                         label_of("Db", "3"),          label_of("SensorType", "4"),
                                         label_of("Sensor_type", "5"), label_of("JOB", "6")};
    ASSERT_CANONICAL(order, "\1SensorType\0014\1Sensor_type\0015\1Db\0013\1host\0012\1JOB\0016\1zone\0011\1");
    assert_canonical(NULL, 0, "\1", 1);
}

static enum metric_name_fault check(const struct metric_label *labels, size_t count)
{
    return metric_name_check(labels, count, &metric_name_limits_default);
}

static void test_limits(void **state)
{
    (void)state;
    struct metric_label labels[50];
    char names[50][16], text[5000];
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 50; i++) {
        snprintf(names[i], sizeof names[i], "l%d", i);
        labels[i] = label_of(names[i], "v");
    }
    assert_int_equal(check(labels, 40), METRIC_NAME_OK);
    assert_int_equal(check(labels, 41), METRIC_NAME_TOO_MANY_LABELS);
    labels[7] = label_of("__name__", "m");
    assert_int_equal(check(labels, 41), METRIC_NAME_TOO_MANY_LABELS);
    assert_int_equal(metric_name_check(labels, 41, &metric_name_limits_name_apart), METRIC_NAME_OK);
    assert_int_equal(metric_name_check(labels, 42, &metric_name_limits_name_apart),
                     METRIC_NAME_TOO_MANY_LABELS);
    labels[8].value_len = 0; /* not counted */
    assert_int_equal(check(labels, 41), METRIC_NAME_OK);
    labels[9] = (struct metric_label){text, 256, text, 4096};
    assert_int_equal(check(labels, 40), METRIC_NAME_OK);
    labels[9].value_len = 4097;
    assert_int_equal(check(labels, 40), METRIC_NAME_TOO_LONG_LABEL_VALUE);
    labels[9].name_len = 257;
    assert_int_equal(check(labels, 40), METRIC_NAME_TOO_LONG_LABEL_NAME);
    labels[9].value_len = 0;
    assert_int_equal(check(labels, 40), METRIC_NAME_OK);
    labels[7] = (struct metric_label){"__name__", 8, text, 4097};
    assert_int_equal(check(labels, 40), METRIC_NAME_TOO_LONG_LABEL_VALUE);
    assert_int_equal(check(labels + 8, 1), METRIC_NAME_NO_LABELS);
    assert_int_equal(check(NULL, 0), METRIC_NAME_NO_LABELS);
    assert_string_equal(metric_name_fault_reason(METRIC_NAME_TOO_LONG_LABEL_NAME), "too_long_label_name");
    assert_null(metric_name_fault_reason(METRIC_NAME_OK));
    assert_true(metric_name_fits(NULL, ITEM_BYTES_MAX - 34));
    assert_false(metric_name_fits(NULL, ITEM_BYTES_MAX - 33));
}

/* --- random label sets, against an independent implementation --- */

static const char *const names_with_aliases[] = {
    "job",        "Job",         "JOB",        "instance",    "Instance",
    "host",       "namespace",   "ns",         "dc",          "env",
    "Env",        "sensor_type", "SensorType", "Sensor_type", "sensorType",
    "db",         "DB",          "name",       "Name",        "measurement",
    "device",     "a",           "b",          "zone",        "__name__",
    "",           "jo",          "jobs",       "instancex",   "\1",
    "\0",         "client",      "tenant",     "node",        "pod",
    "server",     "type",        "model",      "cluster",     "service",
    "datacenter", "environment", "\xfe",       "\xffx",
};

static void random_labels(struct random *random, struct metric_label *labels, size_t count)
{
    static const char *const values[] = {"", "x", "y", "\1", "a\002b", "long value of a label", "\0"};
    size_t names_count = sizeof names_with_aliases / sizeof *names_with_aliases;
    for (size_t i = 0; i < count; i++) {
        const char *name = names_with_aliases[random_below(random, names_count)];
        size_t value = random_below(random, 7);
        labels[i] = label_of(name, values[value]);
        if (value == 6)
            labels[i].value_len = 1;
    }
}

static void write_number(FILE *f, uint32_t n)
{
    uint8_t bytes[4];
    put_be32(bytes, n);
    assert_int_equal(fwrite(bytes, 1, 4, f), 4);
}

static void write_labels(FILE *f, const struct metric_label *labels, size_t count)
{
    write_number(f, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        write_number(f, labels[i].name_len);
        fwrite(labels[i].name, 1, labels[i].name_len, f);
        write_number(f, labels[i].value_len);
        fwrite(labels[i].value, 1, labels[i].value_len, f);
    }
}

static void test_canonical_agrees(void **state)
{
    (void)state;
    char *dir = TEST_DIR();
    char *input = xasprintf("%s/labels", dir);
    FILE *f = fopen(input, "wb");
    assert_non_null(f);
    struct random random = {30};
    struct items ours = {0}, theirs = {0};
    struct buffer name = {0};
    for (int round = 0; round < 20000; round++) {
        struct metric_label labels[100];
        size_t count = random_below(&random, round % 50 == 0 ? 100 : 12);
        random_labels(&random, labels, count);
        write_labels(f, labels, count);
        buffer_clear(&name);
        metric_name_canonical(&name, labels, count);
        items_add(&ours, name.data, name.len);
    }
    assert_int_equal(fclose(f), 0);
    char *command =
        xasprintf("exec python3 '%s/unit/storage/series/canonical_names.py' < '%s'", VARVE_TESTS_DIR, input);
    f = popen(command, "r");
    assert_non_null(f);
    uint8_t head[4];
    while (fread(head, 1, 4, f) == 4) {
        size_t len = get_be32(head);
        assert_int_equal(fread(items_reserve(&theirs, len), 1, len, f), len);
        items_commit(&theirs, len);
    }
    assert_int_equal(pclose(f), 0);
    assert_same_items(&ours, &theirs);
    items_release(&ours);
    items_release(&theirs);
    buffer_release(&name);
    free(command);
    free(input);
    test_dir_remove(dir);
}

/* parse undoes canonical, and canonical of what was parsed is the same name again. */
static void test_parse_round_trip(void **state)
{
    (void)state;
    struct random random = {31};
    struct buffer name = {0}, again = {0};
    struct metric_name mn = {0};
    struct error err;
    for (int round = 0; round < 5000; round++) {
        struct metric_label labels[20], parsed[21];
        size_t count = random_below(&random, 20);
        random_labels(&random, labels, count);
        buffer_clear(&name);
        metric_name_canonical(&name, labels, count);
        assert_int_equal(metric_name_parse(&mn, name.data, name.len, &err), 0);
        parsed[0] = (struct metric_label){"__name__", 8, (const char *)mn.group.data, (uint32_t)mn.group.len};
        for (size_t i = 0; i < mn.tags_count; i++)
            parsed[i + 1] =
                (struct metric_label){(const char *)mn.tags[i].key.data, (uint32_t)mn.tags[i].key.len,
                                      (const char *)mn.tags[i].value.data, (uint32_t)mn.tags[i].value.len};
        buffer_clear(&again);
        metric_name_canonical(&again, parsed, mn.tags_count + 1);
        assert_int_equal(again.len, name.len);
        assert_memory_equal(again.data, name.data, name.len);
    }
    static const char *const bad[] = {"", "m", "m\1a", "m\1a\1", "m\1a\1b", "a\x00\x33\1"};
    static const size_t bad_lens[] = {0, 1, 3, 4, 5, 4};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(metric_name_parse(&mn, (const uint8_t *)bad[i], bad_lens[i], &err), ERR_CORRUPT);
    metric_name_release(&mn);
    buffer_release(&name);
    buffer_release(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_tsid_of_few_tags),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_canonical_agrees),
        cmocka_unit_test(test_parse_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
