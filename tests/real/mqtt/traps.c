/* What brokers, paho and the disk do to the MQTT sink, each against a real broker.
 *   mqtt_traps GROUP [FILTER]   run by traps.sh; GROUP all: one group after the other; FILTER: a name with *
 *   mqtt_traps victim NAME      what the tests kill */
#include "tests/real/mqtt/world.h"

#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sinks/mqtt/mqtt_puback.h"

/* Each test in a process of its own: one that fails leaves its sinks' threads running. */
static int run_alone(const struct CMUnitTest *test)
{
    int status = 0;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        exit(_cmocka_run_group_tests(test->name, test, 1, NULL, NULL) ? 1 : 0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) > 1)
        printf("[  FAILED  ] %s: died, status 0x%x\n", test->name, (unsigned)status);
    return status != 0;
}

int main(int argc, char **argv)
{
    enum { ALWAYS, IF_HELD, IF_NOT_HELD };
    const struct {
        const char *name;
        const struct CMUnitTest *tests;
        size_t count;
        int when;
    } groups[] = {{"delivery", delivery_traps, delivery_traps_count, ALWAYS},
                  {"restart", restart_traps, restart_traps_count, ALWAYS},
                  {"qos2", qos2_traps, qos2_traps_count, IF_HELD},
                  {"disk", disk_traps, disk_traps_count, ALWAYS},
                  {"held", held_traps, held_traps_count, IF_HELD},
                  {"held", unheld_traps, unheld_traps_count, IF_NOT_HELD},
                  {"network", network_traps, network_traps_count, ALWAYS},
                  {"pace", pace_traps, pace_traps_count, IF_HELD}};
    if (argc == 3 && strcmp(argv[1], "victim") == 0)
        return victim_main(argv[2]);
    const char *wanted = argc > 1 ? argv[1] : "all";
    int failed = 0;
    bool found = false;
    const char *filter = argc > 2 ? argv[2] : "*";
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        if (strcmp(wanted, "all") != 0 && strcmp(wanted, groups[i].name) != 0)
            continue;
        found = true;
        if (groups[i].when != ALWAYS && (groups[i].when == IF_HELD) != mqtt_puback_is_held())
            continue;
        for (size_t j = 0; j < groups[i].count; j++) {
            if (fnmatch(filter, groups[i].tests[j].name, 0) == 0)
                failed += run_alone(&groups[i].tests[j]);
        }
    }
    if (!found)
        fprintf(stderr, "mqtt_traps: there's no group %s\n", wanted);
    return failed || !found ? 1 : 0;
}
