/* The traps of Kafka and librdkafka, each against a real broker. Run by traps.sh; an argument is a name
 * filter with *. */

#include "tests/real/kafka/world.h"

#include <string.h>

int main(int argc, char **argv)
{
    const char *which = argc > 1 ? argv[1] : "*";
    const struct {
        const char *name, *title;
        const struct CMUnitTest *tests;
        size_t count;
    } parts[] = {
        {"group", "membership and offsets", group_traps, group_traps_count},
        {"records", "offsets and records", record_traps, record_traps_count},
        {"positions", "positions and what they were of", position_traps, position_traps_count},
        {"cluster", "other clusters, and brokers that lost what they had", cluster_traps,
         cluster_traps_count},
    };
    bool is_part = false;
    int failed = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        is_part |= strcmp(which, parts[i].name) == 0;
    if (!is_part)
        cmocka_set_test_filter(which);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!is_part || strcmp(which, parts[i].name) == 0)
            failed += _cmocka_run_group_tests(parts[i].title, parts[i].tests, parts[i].count, NULL, NULL);
    return failed ? 1 : 0;
}
