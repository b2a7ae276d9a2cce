/* The traps of Kafka and librdkafka, each against a real broker. Run by traps.sh; arguments are parts, or one
 * is a name filter with *. */

#include "tests/real/kafka/world.h"

#include <stdio.h>
#include <string.h>

static const struct part {
    const char *name, *title;
    const struct CMUnitTest *tests;
    const size_t *count;
} parts[] = {
    {"group", "membership and offsets", group_traps, &group_traps_count},
    {"records", "offsets and records", record_traps, &record_traps_count},
    {"positions", "positions and what they were of", position_traps, &position_traps_count},
    {"cluster", "other clusters, and brokers that lost what they had", cluster_traps, &cluster_traps_count},
};
#define PARTS_COUNT (sizeof parts / sizeof *parts)

static const struct part *part_called(const char *name)
{
    for (size_t i = 0; i < PARTS_COUNT; i++)
        if (strcmp(parts[i].name, name) == 0)
            return &parts[i];
    return NULL;
}

static bool run(const struct part *p)
{
    return _cmocka_run_group_tests(p->title, p->tests, *p->count, NULL, NULL) == 0;
}

int main(int argc, char **argv)
{
    bool is_ok = true;
    if (argc > 1 && part_called(argv[1])) {
        for (int i = 1; i < argc; i++) {
            const struct part *p = part_called(argv[i]);
            if (!p) {
                fprintf(stderr, "%s is no part\n", argv[i]);
                return 2;
            }
            is_ok &= run(p);
        }
    } else {
        cmocka_set_test_filter(argc > 1 ? argv[1] : "*");
        for (size_t i = 0; i < PARTS_COUNT; i++)
            is_ok &= run(&parts[i]);
    }
    return is_ok ? 0 : 1;
}
