/* Sums over many varints at once are what sums over varint.h's are, one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "storage/encoding/varint.h"
#include "storage/encoding/varint_sums.h"

#define ITEMS_MAX 300
#define ROUNDS    5000

typedef const uint8_t *get_sums(int64_t *dst, size_t n, int64_t start, const uint8_t *p, const uint8_t *end);
static get_sums *const forms[] = {varint_sums_get, varint_sums_get_plain};
static const char *const form_names[] = {"varint_sums_get", "varint_sums_get_plain"};
#define FORMS (sizeof forms / sizeof *forms)

/* Mostly of so many bits, one in `rare` of any length. */
static int64_t random_item(int bits, int rare)
{
    int width = rand() % rare ? bits : rand() % 65;
    uint64_t v = (uint64_t)rand() << 42 ^ (uint64_t)rand() << 21 ^ (uint64_t)rand();
    return unzigzag64(width ? v >> (64 - width) : 0);
}

static void check_sums(get_sums *get, const char *name, const uint8_t *bytes, size_t size,
                       const int64_t *items, size_t n, int64_t start)
{
    int64_t got[ITEMS_MAX + 1];
    got[n] = 42;
    if (get(got, n, start, bytes, bytes + size) != bytes + size)
        fail_msg("%s: %zu items not read to their end", name, n);
    uint64_t sum = (uint64_t)start;
    for (size_t i = 0; i < n; i++)
        if (got[i] != (int64_t)(sum += (uint64_t)items[i]))
            fail_msg("%s: item %zu of %zu: %lld, expected %lld", name, i, n, (long long)got[i],
                     (long long)sum);
    assert_int_equal(got[n], 42);
    if (size) /* the last integer isn't whole, or isn't there */
        assert_null(get(got, n, start, bytes, bytes + size - 1));
    assert_null(get(got, n + 1, start, bytes, bytes + size));
}

static void sums_are_those_of_one_by_one(void **state)
{
    (void)state;
    srand(3);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t items[ITEMS_MAX];
        size_t n = (size_t)rand() % ITEMS_MAX;
        int bits = (const int[]){0, 3, 7, 8, 10, 14, 15, 22, 64}[rand() % 9];
        int rare = (const int[]){2, 10, 50, 1000}[rand() % 4];
        uint8_t *bytes = xmalloc(ITEMS_MAX * VARINT_MAX_BYTES), *end = bytes;
        for (size_t i = 0; i < n; i++)
            end = varint_put_signed(end, items[i] = random_item(bits, rare));
        /* A buffer of just that size: reading past it is noticed. */
        size_t size = (size_t)(end - bytes);
        bytes = xreallocarray(bytes, size + 1, 1);
        for (size_t form = 0; form < FORMS; form++)
            check_sums(forms[form], form_names[form], bytes, size, items, n, random_item(64, 2));
        free(bytes);
    }
}

/* Lanes of 16 bits hold the sums of four of the largest and smallest of two bytes. */
static void lanes_do_not_overflow(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        int64_t items[ITEMS_MAX];
        uint8_t bytes[ITEMS_MAX * VARINT_MAX_BYTES], *end = bytes;
        for (size_t i = 0; i < ITEMS_MAX - 1; i++)
            end = varint_put_signed(end, items[i] = kind ? 8191 : -8192);
        assert_int_equal(end - bytes, 2 * (ITEMS_MAX - 1));
        for (size_t form = 0; form < FORMS; form++)
            check_sums(forms[form], form_names[form], bytes, (size_t)(end - bytes), items, ITEMS_MAX - 1,
                       INT64_MAX);
    }
}

/* Any bytes: the same integers, or the same refusal. */
static void reads_garbage_as_one_by_one(void **state)
{
    (void)state;
    srand(4);
    for (int round = 0; round < ROUNDS; round++) {
        uint8_t bytes[200];
        int64_t want[ITEMS_MAX], got[ITEMS_MAX], v;
        size_t size = (size_t)rand() % sizeof bytes, n = 0;
        int long_ones = rand() % 3;
        for (size_t i = 0; i < size; i++)
            bytes[i] =
                (uint8_t)(rand() & (long_ones == 0 ? 0x7f : 0xff) & (long_ones == 1 && i % 2 ? 0x7f : 0xff));
        const uint8_t *p = bytes, *next;
        uint64_t sum = 7;
        while ((next = varint_get_signed(p, bytes + size, &v))) {
            p = next;
            want[n++] = (int64_t)(sum += (uint64_t)v);
        }
        for (size_t form = 0; form < FORMS; form++) {
            if (forms[form](got, n, 7, bytes, bytes + size) != p)
                fail_msg("%s, round %d: %zu items end elsewhere", form_names[form], round, n);
            assert_memory_equal(got, want, n * sizeof *got);
            assert_null(forms[form](got, n + 1, 7, bytes, bytes + size));
        }
    }
}

static void sums_of_integers(void **state)
{
    (void)state;
    srand(5);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t plain[ITEMS_MAX], fast[ITEMS_MAX], want[ITEMS_MAX], start = random_item(64, 2);
        size_t n = (size_t)rand() % ITEMS_MAX;
        uint64_t sum = (uint64_t)start;
        for (size_t i = 0; i < n; i++) {
            plain[i] = fast[i] = random_item(64, 2);
            want[i] = (int64_t)(sum += (uint64_t)plain[i]);
        }
        int_sums(fast, n, start);
        int_sums_plain(plain, n, start);
        assert_memory_equal(plain, want, n * sizeof *want);
        assert_memory_equal(fast, want, n * sizeof *want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_those_of_one_by_one),
        cmocka_unit_test(lanes_do_not_overflow),
        cmocka_unit_test(reads_garbage_as_one_by_one),
        cmocka_unit_test(sums_of_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
