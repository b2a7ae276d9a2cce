/* Many varints at once are what varint.h makes of them one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/alloc.h"
#include "storage/encoding/varint.h"
#include "storage/encoding/varint_array.h"

#define ITEMS_MAX 200
#define ROUNDS    3000

/* Mostly of so many bytes, sometimes of any length. */
static int64_t random_item(int bits)
{
    int width = rand() % 50 ? bits : rand() % 65;
    uint64_t v = (uint64_t)rand() << 42 ^ (uint64_t)rand() << 21 ^ (uint64_t)rand();
    return unzigzag64(width ? v >> (64 - width) : 0);
}

static void reads_what_was_written_one_by_one(void **state)
{
    (void)state;
    srand(3);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t want[ITEMS_MAX], got[ITEMS_MAX];
        size_t n = (size_t)rand() % ITEMS_MAX;
        int bits = (const int[]){3, 7, 8, 10, 14, 15, 22, 64}[rand() % 8];
        uint8_t *bytes = xmalloc(ITEMS_MAX * VARINT_MAX_BYTES), *end = bytes;
        for (size_t i = 0; i < n; i++)
            end = varint_put_signed(end, want[i] = random_item(bits));
        /* A buffer of just that size: reading past it is noticed. */
        size_t size = (size_t)(end - bytes);
        bytes = xreallocarray(bytes, size + 1, 1);
        if (varint_array_get(got, n, bytes, bytes + size) != bytes + size)
            fail_msg("round %d: %zu items of about %d bits: not read to their end", round, n, bits);
        for (size_t i = 0; i < n; i++)
            if (got[i] != want[i])
                fail_msg("round %d, item %zu: %lld, expected %lld", round, i, (long long)got[i],
                         (long long)want[i]);
        if (size) /* the last integer isn't whole, or isn't there */
            assert_null(varint_array_get(got, n, bytes, bytes + size - 1));
        assert_null(varint_array_get(got, n + 1, bytes, bytes + size));
        free(bytes);
    }
}

/* Any bytes: the same integers, or the same refusal. */
static void reads_garbage_as_one_by_one(void **state)
{
    (void)state;
    srand(4);
    for (int round = 0; round < ROUNDS; round++) {
        uint8_t bytes[100];
        int64_t want[ITEMS_MAX], got[ITEMS_MAX];
        size_t size = (size_t)rand() % sizeof bytes, n = 0;
        int long_ones = rand() % 3;
        for (size_t i = 0; i < size; i++)
            bytes[i] =
                (uint8_t)(rand() & (long_ones == 0 ? 0x7f : 0xff) & (long_ones == 1 && i % 2 ? 0x7f : 0xff));
        const uint8_t *p = bytes, *next;
        while ((next = varint_get_signed(p, bytes + size, &want[n]))) {
            p = next;
            n++;
        }
        assert_ptr_equal(varint_array_get(got, n, bytes, bytes + size), p);
        assert_memory_equal(got, want, n * sizeof *got);
        assert_null(varint_array_get(got, n + 1, bytes, bytes + size));
    }
}

static void writes_what_is_written_one_by_one(void **state)
{
    (void)state;
    srand(5);
    static uint8_t want[ITEMS_MAX * VARINT_MAX_BYTES], got[ITEMS_MAX * VARINT_MAX_BYTES];
    for (int round = 0; round < ROUNDS; round++) {
        int64_t a[ITEMS_MAX];
        size_t n = 2 + (size_t)rand() % (ITEMS_MAX - 2);
        int bits = (const int[]){3, 6, 8, 10, 13, 15, 22, 64}[rand() % 8];
        a[0] = random_item(64);
        for (size_t i = 1; i < n; i++)
            a[i] = (int64_t)((uint64_t)a[i - 1] + (uint64_t)random_item(bits));
        uint8_t *end = want;
        for (size_t i = 1; i < n; i++)
            end = varint_put_signed(end, (int64_t)((uint64_t)a[i] - (uint64_t)a[i - 1]));
        assert_int_equal(varint_array_put_deltas(got, a, n) - got, end - want);
        assert_memory_equal(got, want, (size_t)(end - want));
        end = want;
        for (size_t i = 2; i < n; i++)
            end = varint_put_signed(end,
                                    (int64_t)((uint64_t)a[i] - 2 * (uint64_t)a[i - 1] + (uint64_t)a[i - 2]));
        assert_int_equal(varint_array_put_deltas2(got, a, n) - got, end - want);
        assert_memory_equal(got, want, (size_t)(end - want));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_was_written_one_by_one),
        cmocka_unit_test(reads_garbage_as_one_by_one),
        cmocka_unit_test(writes_what_is_written_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
