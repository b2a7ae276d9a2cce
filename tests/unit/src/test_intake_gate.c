#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/intake_gate.h"

#define MIB (UINT64_C(1) << 20)

static void look(struct intake_gate *g, uint64_t free_disk, uint64_t buffered)
{
    const struct intake_gate_sight sight = {.free_disk_bytes = free_disk, .buffered_bytes = buffered};
    intake_gate_look(g, &sight);
}

static void test_disk(void **unused)
{
    (void)unused;
    struct intake_gate g = {.min_free_disk_bytes = 256 * MIB, .buffers_limit_bytes = 100 * MIB};
    look(&g, 256 * MIB, 0);
    assert_false(g.is_disk_low);
    look(&g, 256 * MIB - 1, 0);
    assert_true(g.is_disk_low);
    look(&g, 287 * MIB, 0);
    assert_true(g.is_disk_low);
    look(&g, 288 * MIB, 0);
    assert_false(g.is_disk_low);
    g.min_free_disk_bytes = 0; /* off */
    look(&g, 0, 0);
    assert_false(g.is_disk_low);
}

static void test_memory(void **unused)
{
    (void)unused;
    struct intake_gate g = {.buffers_limit_bytes = 800 * MIB};
    look(&g, 1, 800 * MIB);
    assert_false(g.is_memory_high);
    look(&g, 1, 800 * MIB + 1);
    assert_true(g.is_memory_high);
    look(&g, 1, 701 * MIB);
    assert_true(g.is_memory_high);
    look(&g, 1, 700 * MIB);
    assert_false(g.is_memory_high);

    assert_int_equal(intake_gate_buffers_limit(1000, 100, 50), 850);
    assert_int_equal(intake_gate_buffers_limit(1000, 900, 50), 250);
    assert_int_equal(intake_gate_buffers_limit(1000, 5000, 50), 250);
}

static void test_memory_of_the_process(void **unused)
{
    (void)unused;
    struct intake_gate g = {.buffers_limit_bytes = 800 * MIB, .memory_limit_bytes = 1600 * MIB};
    struct intake_gate_sight sight = {.memory_used_bytes = 1600 * MIB};
    intake_gate_look(&g, &sight);
    assert_false(g.is_memory_high);
    sight.memory_used_bytes++;
    intake_gate_look(&g, &sight);
    assert_true(g.is_memory_high);
    sight.memory_used_bytes = 1400 * MIB + 1;
    intake_gate_look(&g, &sight);
    assert_true(g.is_memory_high);
    sight.memory_used_bytes--;
    sight.buffered_bytes = 701 * MIB; /* both have to go down */
    intake_gate_look(&g, &sight);
    assert_true(g.is_memory_high);
    sight.buffered_bytes = 0;
    intake_gate_look(&g, &sight);
    assert_false(g.is_memory_high);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disk),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_memory_of_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
