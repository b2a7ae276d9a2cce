#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/intake_gate.h"

#define MIB (UINT64_C(1) << 20)

static void test_disk(void **unused)
{
    (void)unused;
    struct intake_gate g = {.min_free_disk_bytes = 256 * MIB, .buffers_limit_bytes = 100 * MIB};
    intake_gate_look(&g, 256 * MIB, 0, 1000);
    assert_false(g.is_disk_low);
    intake_gate_look(&g, 256 * MIB - 1, 0, 1000);
    assert_true(g.is_disk_low);
    intake_gate_look(&g, 287 * MIB, 0, 1000);
    assert_true(g.is_disk_low);
    intake_gate_look(&g, 288 * MIB, 0, 1000);
    assert_false(g.is_disk_low);
    g.min_free_disk_bytes = 0; /* off */
    intake_gate_look(&g, 0, 0, 1000);
    assert_false(g.is_disk_low);
}

static void test_memory(void **unused)
{
    (void)unused;
    struct intake_gate g = {.buffers_limit_bytes = 800 * MIB};
    intake_gate_look(&g, 1, 800 * MIB, 1000);
    assert_false(g.is_memory_high);
    intake_gate_look(&g, 1, 800 * MIB + 1, 1000);
    assert_true(g.is_memory_high);
    intake_gate_look(&g, 1, 701 * MIB, 1000);
    assert_true(g.is_memory_high);
    intake_gate_look(&g, 1, 700 * MIB, 1000);
    assert_false(g.is_memory_high);

    assert_int_equal(intake_gate_buffers_limit(1000, 100, 50), 850);
    assert_int_equal(intake_gate_buffers_limit(1000, 900, 50), 250);
    assert_int_equal(intake_gate_buffers_limit(1000, 5000, 50), 250);
}

static void test_clock(void **unused)
{
    (void)unused;
    struct intake_gate g = {.buffers_limit_bytes = 1, .not_before_ms = 1795509228179};
    intake_gate_look(&g, 1, 0, 0); /* a board that booted in 1970 */
    assert_true(g.is_clock_behind);
    intake_gate_look(&g, 1, 0, 1795509228179 - 5000);
    assert_false(g.is_clock_behind);
    g.trust_clock = true;
    intake_gate_look(&g, 1, 0, 0);
    assert_false(g.is_clock_behind);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disk),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
