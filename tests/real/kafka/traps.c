/* The traps of Kafka and librdkafka, each against a real broker. Run by traps.sh; an argument is a name
 * filter with *. */
#include "tests/real/kafka/world.h"

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed = _cmocka_run_group_tests("membership and offsets of the group", group_traps,
                                         group_traps_count, NULL, NULL);
    failed += _cmocka_run_group_tests("offsets and records", record_traps, record_traps_count, NULL, NULL);
    return failed ? 1 : 0;
}
