#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/series_cache.h"

static uint64_t state = 88172645463325252u;

static uint32_t chance(uint32_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 33) % n;
}

/* Any function of the key does, if equal keys have equal hashes; few bits make it collide. */
static uint64_t hash_of(struct span key, uint64_t mask)
{
    uint64_t h = 14695981039346656037u;
    for (uint32_t i = 0; i < key.len; i++)
        h = (h ^ (unsigned char)key.data[i]) * 1099511628211u;
    return (h ^ h >> 29) & mask;
}

enum { KEYS = 300, FIELDS = 60 };

struct model {
    uint32_t series[KEYS][FIELDS]; /* 0: not seen */
    uint32_t next;
};

static struct span key_text(char *dst, size_t size, uint32_t key)
{
    return span_of(dst, (size_t)snprintf(dst, size, "machine,host=host-%u,rack=%u", key, key % 7));
}

/* Lengths of all kinds, and names that differ in one byte. */
static struct span field_text(char *dst, size_t size, uint32_t field)
{
    static const char *const patterns[] = {"%u", "f%u_", "field_%u", "a_long_field_name_%u_total"};
    if (field == 0)
        return span_of(dst, 0);
    return span_of(dst, (size_t)snprintf(dst, size, patterns[field % 4], field));
}

static void check(struct series_cache *c, struct model *m, uint32_t key, uint32_t field,
                  struct series_entry *e)
{
    char text[64];
    struct span name = field_text(text, sizeof text, field);
    struct series_slot *slot = series_cache_slot(c, e, name);
    if (!m->series[key][field]) {
        assert_null(slot);
        m->series[key][field] = ++m->next;
        slot = series_cache_add(c, e, name, m->next);
        assert_false(series_slot_has_day(slot, 0));
    }
    assert_non_null(slot);
    assert_int_equal(slot->series, m->series[key][field]);
}

/* hash_mask 0: with the cache's own hash, and the order that it has learnt. */
static void random_lookups(uint64_t hash_mask, uint32_t rounds)
{
    struct series_cache c;
    struct model *m = xcalloc(1, sizeof *m);
    char text[64];
    series_cache_init(&c, 0);
    uint32_t key = 0;
    for (uint32_t i = 0; i < rounds; i++) {
        key = chance(3) ? (key + 1) % KEYS : chance(KEYS);
        uint32_t count = chance(FIELDS) + 1, first = chance(FIELDS), step = chance(3);
        struct span name = key_text(text, sizeof text, key);
        uint32_t expected = chance(4) ? count : 0;
        struct series_entry *e = hash_mask
                                     ? series_cache_look_up(&c, name, hash_of(name, hash_mask), expected)
                                     : series_cache_entry(&c, name, expected);
        for (uint32_t k = 0; k < count; k++) {
            uint32_t field = step == 0 ? chance(FIELDS) : (first + k * step) % FIELDS;
            check(&c, m, key, field, e);
        }
    }
    assert_int_equal(c.drops_total, 0);
    series_cache_release(&c);
    free(m);
}

static void test_random_lookups(void **unused)
{
    (void)unused;
    random_lookups(0, 100000); /* about three million lookups */
}

static void test_colliding_hashes(void **unused)
{
    (void)unused;
    random_lookups(7, 20000);
    random_lookups(UINT64_C(1) << 63, 2000); /* all in one cell */
}

static void test_order_is_learnt(void **unused)
{
    (void)unused;
    struct series_cache c;
    char text[64];
    series_cache_init(&c, 0);
    struct span key = key_text(text, sizeof text, 1);
    struct series_entry *e = series_cache_entry(&c, key, 3);
    static const char *const first[] = {"a", "b", "c"}, *const then[] = {"c", "a", "b"};
    for (uint32_t i = 0; i < 3; i++)
        (void)series_cache_add(&c, e, span_of(first[i], 1), i + 1);
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 3; i++) {
            uint32_t expected = c.slots[e->first + c.slots[e->first + e->last].next].series;
            const struct series_slot *slot = series_cache_slot(&c, e, span_of(then[i], 1));
            assert_non_null(slot);
            if (round > 0)
                assert_int_equal(slot->series, expected);
        }
    }
    series_cache_release(&c);
}

/* Looks the keys up in this order; returns how many of them were the expected ones. */
static uint32_t expected_of(struct series_cache *c, const uint32_t *keys, uint32_t count)
{
    uint32_t expected = 0;
    for (uint32_t i = 0; i < count; i++) {
        char text[64];
        struct span key = key_text(text, sizeof text, keys[i]);
        uint32_t before = c->expected;
        const struct series_entry *e = series_cache_entry(c, key, 1);
        assert_int_equal(e->key_len, key.len);
        assert_memory_equal(c->keys.data + e->key_offset, key.data, key.len);
        assert_ptr_equal(e, &c->entries[c->latest - 1]);
        assert_int_equal(c->expected, e->follower);
        expected += c->latest == before;
    }
    return expected;
}

static void test_order_of_keys_is_learnt(void **unused)
{
    (void)unused;
    static const uint32_t order[] = {1, 2, 3, 4, 5}, other[] = {1, 2, 4, 3, 5}, same[] = {7, 7, 7, 7},
                          longer[] = {1, 2, 9, 4, 3};
    struct series_cache c;
    series_cache_init(&c, 0);
    assert_int_equal(expected_of(&c, order, 5), 0);
    assert_int_equal(expected_of(&c, order, 5), 4); /* not yet that 1 follows 5 */
    assert_int_equal(expected_of(&c, order, 5), 5);
    assert_int_equal(expected_of(&c, other, 5), 2); /* 2, 4: not 3; 3: not 5; 5: not 4 */
    assert_int_equal(expected_of(&c, other, 5), 5);
    assert_int_equal(expected_of(&c, longer, 5), 3); /* 9 is new, and nothing has followed it */
    assert_int_equal(expected_of(&c, same, 4), 2);   /* itself, once that was seen */
    assert_int_equal(c.entries_count, 7);
    series_cache_release(&c);
}

static void test_limit_empties_it(void **unused)
{
    (void)unused;
    struct series_cache c;
    series_cache_init(&c, 1 << 20);
    uint64_t most = 0;
    for (uint32_t i = 0; i < 100000; i++) {
        char text[64];
        struct span key = key_text(text, sizeof text, i);
        struct series_entry *e = series_cache_entry(&c, key, 2);
        assert_null(series_cache_slot(&c, e, span_of("x", 1)));
        (void)series_cache_add(&c, e, span_of("x", 1), i);
        assert_int_equal(series_cache_slot(&c, e, span_of("x", 1))->series, i);
        if (series_cache_bytes(&c) > most)
            most = series_cache_bytes(&c);
    }
    assert_true(c.drops_total > 0);
    assert_true(most < 4 << 20);

    /* One key with ever new fields is bounded as well. */
    uint64_t drops = c.drops_total;
    for (uint32_t i = 0; i < 100000; i++) {
        char text[64];
        int len = snprintf(text, sizeof text, "field_%u", i);
        struct series_entry *e = series_cache_entry(&c, span_of("k", 1), 1);
        (void)series_cache_slot(&c, e, span_of(text, (size_t)len));
        (void)series_cache_add(&c, e, span_of(text, (size_t)len), i);
        assert_true(series_cache_bytes(&c) < 4 << 20);
    }
    assert_true(c.drops_total > drops);
    series_cache_release(&c);
}

static void test_days(void **unused)
{
    (void)unused;
    struct series_slot slot = {.days = {DAY_NONE, DAY_NONE}};
    assert_false(series_slot_has_day(&slot, 20000));
    series_slot_set_day(&slot, 20000);
    series_slot_set_day(&slot, 20001);
    assert_true(series_slot_has_day(&slot, 20000));
    assert_true(series_slot_has_day(&slot, 20001));
    series_slot_set_day(&slot, 20002);
    assert_false(series_slot_has_day(&slot, 20000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_lookups),   cmocka_unit_test(test_colliding_hashes),
        cmocka_unit_test(test_order_is_learnt),  cmocka_unit_test(test_order_of_keys_is_learnt),
        cmocka_unit_test(test_limit_empties_it), cmocka_unit_test(test_days),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
