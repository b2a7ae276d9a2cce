/* What brokers, paho and the disk do to the MQTT sink, each against a real broker. Run by traps.sh; an
 * argument is a name filter with *. */
#include "tests/real/mqtt/world.h"

#include <string.h>

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "victim") == 0)
        return victim_main(argv[2]);
    cmocka_set_test_filter(argc > 1 ? argv[1] : "*");
    int failed = _cmocka_run_group_tests("delivery", delivery_traps, delivery_traps_count, NULL, NULL);
    failed += _cmocka_run_group_tests("disk", disk_traps, disk_traps_count, NULL, NULL);
    failed += _cmocka_run_group_tests("network", network_traps, network_traps_count, NULL, NULL);
    return failed ? 1 : 0;
}
