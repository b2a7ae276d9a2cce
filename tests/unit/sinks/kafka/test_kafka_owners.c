/* What a fenced commit leaves in the group's metadata, through any number of owners. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sinks/kafka/kafka_owners.h"

static enum kafka_owners_answer look(const char *metadata, const char *store_id, uint64_t token)
{
    return kafka_owners_look(true, metadata, strlen(metadata), store_id, token);
}

static void metadata_says_whose(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum kafka_group_owner owner;
    } cases[] = {
        {"", KAFKA_OWNER_NONE},
        {"v1;abc;7", KAFKA_OWNER_OURS},
        {"v1;abc;7;later fields", KAFKA_OWNER_OURS},
        {"v1;abcd;7", KAFKA_OWNER_OTHER_STORE},
        {"v1;ab;7", KAFKA_OWNER_OTHER_STORE},
        {"v1;;7", KAFKA_OWNER_FOREIGN},
        {"v1;abc", KAFKA_OWNER_FOREIGN},
        {"v2;abc;7", KAFKA_OWNER_FOREIGN},
        {"v2;abc;7;00000000000000ff", KAFKA_OWNER_OURS},
        {"v2;xyz;7;00000000000000ff;abc:00000000000000fe", KAFKA_OWNER_OTHER_STORE},
        {"v3;abc;7;00000000000000ff", KAFKA_OWNER_FOREIGN},
        {"v1", KAFKA_OWNER_FOREIGN},
        {"connect-offset", KAFKA_OWNER_FOREIGN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(kafka_metadata_owner(cases[i].text, strlen(cases[i].text), "abc"), cases[i].owner);
    assert_int_equal(kafka_metadata_owner(NULL, 0, "abc"), KAFKA_OWNER_NONE);

    char text[KAFKA_METADATA_MAX];
    kafka_metadata_format(text, "abc", 42);
    assert_string_equal(text, "v1;abc;42");
}

static void the_answers(void **state)
{
    (void)state;
    static const struct {
        const char *metadata;
        enum kafka_owners_answer answer; /* to: does it hold commit 0xfe of store abc? */
    } cases[] = {
        {"v2;abc;7;00000000000000fe", KAFKA_COMMIT_THERE},
        {"v2;abc;6;00000000000000fd", KAFKA_COMMIT_NOT_THERE},
        {"v2;abc;6;00000000000000fd;xyz:00000000000000fe", KAFKA_COMMIT_NOT_THERE},
        {"v2;xyz;9;0000000000000001;abc:00000000000000fe", KAFKA_COMMIT_THERE},
        {"v2;xyz;9;0000000000000001;abc:00000000000000fd", KAFKA_COMMIT_NOT_THERE},
        {"v2;xyz;9;00000000000000fe", KAFKA_COMMIT_NOT_THERE}, /* another store's number */
        {"v2;xyz;9;0000000000000001;uvw:0000000000000002;abc:00000000000000fe", KAFKA_COMMIT_THERE},
        {"v2;xyz;9;0000000000000001;abc:00000000000000fd;+", KAFKA_COMMIT_NOT_THERE},
        {"v2;xyz;9;0000000000000001;uvw:0000000000000002;+", KAFKA_COMMIT_UNKNOWN},
        {"v2;xyz;9;0000000000000001;uvw:2;abc:00000000000000fe", KAFKA_COMMIT_UNKNOWN},
        {"v2;xyz;9;0000000000000001;", KAFKA_COMMIT_UNKNOWN},
        {"v2;xyz;9;01", KAFKA_COMMIT_UNKNOWN},
        {"v2;ab;9;0000000000000001", KAFKA_COMMIT_NOT_THERE},
        {"v1;abc;7", KAFKA_COMMIT_NOT_THERE},
        {"v1;xyz;7", KAFKA_COMMIT_UNKNOWN}, /* it didn't pass on who was before */
        {"", KAFKA_COMMIT_UNKNOWN},         /* an operator's reset */
        {"somebody else's", KAFKA_COMMIT_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (look(cases[i].metadata, "abc", 0xfe) != cases[i].answer)
            fail_msg("%s: %d instead of %d", cases[i].metadata, look(cases[i].metadata, "abc", 0xfe),
                     cases[i].answer);
    assert_int_equal(kafka_owners_look(false, NULL, 0, "abc", 0xfe), KAFKA_COMMIT_NOT_THERE);
    assert_int_equal(kafka_owners_look(true, NULL, 0, "abc", 0xfe), KAFKA_COMMIT_UNKNOWN);
}

/* The next owner's metadata after `before`. */
static void take_over(struct buffer *metadata, const char *store_id, uint64_t n, uint64_t token)
{
    struct buffer history = {0}, next = {0};
    kafka_owners_history(&history, metadata->len > 0, metadata->data, metadata->len, store_id);
    kafka_owners_format(&next, store_id, n, token, (const char *)history.data, history.len);
    buffer_release(&history);
    buffer_release(metadata);
    *metadata = next;
}

static void handed_on(void **state)
{
    (void)state;
    struct buffer m = {0};
    take_over(&m, "aa", 1, 0x11);
    assert_string_equal(buffer_cstr(&m), "v2;aa;1;0000000000000011");
    take_over(&m, "bb", 5, 0x22);
    assert_string_equal(buffer_cstr(&m), "v2;bb;5;0000000000000022;aa:0000000000000011");
    take_over(&m, "bb", 6, 0x23);
    take_over(&m, "cc", 9, 0x33);
    take_over(&m, "aa", 2, 0x12);
    assert_string_equal(buffer_cstr(&m), "v2;aa;2;0000000000000012;cc:0000000000000033;bb:0000000000000023");
    assert_int_equal(look(buffer_cstr(&m), "bb", 0x23), KAFKA_COMMIT_THERE);
    assert_int_equal(look(buffer_cstr(&m), "bb", 0x22), KAFKA_COMMIT_NOT_THERE);
    assert_int_equal(look(buffer_cstr(&m), "dd", 0x44), KAFKA_COMMIT_NOT_THERE);
    buffer_release(&m);
}

static void what_came_before_others_is_unknown(void **state)
{
    (void)state;
    static const char *const others[] = {"v1;bb;7", "somebody else's", "v2;bb;1;1"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct buffer m = {0};
        buffer_append_str(&m, others[i]);
        take_over(&m, "aa", 1, 0x11);
        assert_string_equal(buffer_cstr(&m), "v2;aa;1;0000000000000011;+");
        take_over(&m, "cc", 1, 0x33);
        assert_int_equal(look(buffer_cstr(&m), "aa", 0x11), KAFKA_COMMIT_THERE);
        assert_int_equal(look(buffer_cstr(&m), "bb", 0x22), KAFKA_COMMIT_UNKNOWN);
        buffer_release(&m);
    }
}

/* Ids of real length: as many as Kafka takes, the oldest go first and leave a mark. */
static void many_owners(void **state)
{
    (void)state;
    struct buffer m = {0};
    char id[33];
    for (unsigned i = 0; i < 200; i++) {
        (void)snprintf(id, sizeof id, "%032x", i);
        take_over(&m, id, i, i);
        assert_true(m.len <= KAFKA_OWNERS_MAX);
    }
    assert_true(m.len > KAFKA_OWNERS_MAX - 60);
    unsigned there = 0;
    for (unsigned i = 200; i-- > 0;) {
        (void)snprintf(id, sizeof id, "%032x", i);
        enum kafka_owners_answer answer = look(buffer_cstr(&m), id, i);
        if (answer == KAFKA_COMMIT_THERE)
            assert_int_equal(there++, 199 - i);
        else
            assert_int_equal(answer, KAFKA_COMMIT_UNKNOWN);
    }
    print_message("%u owners are remembered\n", there);
    assert_true(there > 70);
    buffer_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_says_whose), cmocka_unit_test(the_answers),
        cmocka_unit_test(handed_on),           cmocka_unit_test(what_came_before_others_is_unknown),
        cmocka_unit_test(many_owners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
