/* The traps of Kafka and librdkafka, each against a real broker. Run by traps.sh; an argument is a name
 * filter with *. */

#include "tests/real/kafka/world.h"

#include <string.h>

int main(int argc, char **argv)
{
    const char *which = argc > 1 ? argv[1] : "*";
    bool group = strcmp(which, "records") != 0, records = strcmp(which, "group") != 0;
    int failed = 0;
    if (group && records)
        cmocka_set_test_filter(which);
    if (group)
        failed +=
            _cmocka_run_group_tests("membership and offsets", group_traps, group_traps_count, NULL, NULL);
    if (records)
        failed +=
            _cmocka_run_group_tests("offsets and records", record_traps, record_traps_count, NULL, NULL);
    return failed ? 1 : 0;
}
