#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "src/base/crc32c.h"

/* RFC 3720, B.4. */
static void known_sums(void **state)
{
    (void)state;
    uint8_t block[32];
    memset(block, 0, sizeof block);
    assert_int_equal(crc32c(0, block, sizeof block), 0x8a9136aa);
    memset(block, 0xff, sizeof block);
    assert_int_equal(crc32c(0, block, sizeof block), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++)
        block[i] = i;
    assert_int_equal(crc32c(0, block, sizeof block), 0x46dd794e);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, NULL, 0), 0);
}

/* Whatever the pieces and their alignment: the bit-by-bit definition. */
static void continues_over_pieces(void **state)
{
    (void)state;
    uint8_t data[257];
    uint32_t want = 0xffffffff;
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 37 + 11);
        want ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            want = want & 1 ? want >> 1 ^ 0x82f63b78 : want >> 1;
    }
    want = ~want;
    for (size_t cut = 0; cut <= sizeof data; cut++)
        assert_int_equal(crc32c(crc32c(0, data, cut), data + cut, sizeof data - cut), want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_sums),
        cmocka_unit_test(continues_over_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
