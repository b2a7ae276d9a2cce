#include "src/base/fault_point.h"

#ifdef VARVE_FAULT_POINTS
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/clock.h"

static atomic_long arrivals;

void fault_point_reached(const char *name)
{
    const char *spec = getenv("VARVE_FAULT_POINT");
    size_t len = strlen(name);
    if (!spec || strncmp(spec, name, len) != 0 || (spec[len] != '\0' && spec[len] != ':'))
        return;
    const char *rest = spec + len;
    if (strcmp(rest, ":sleep") == 0) {
        clock_sleep_ms(300);
        return;
    }
    long wanted = 1;
    if (*rest == ':' && rest[1] >= '0' && rest[1] <= '9') {
        char *end;
        wanted = strtol(rest + 1, &end, 10);
        rest = end;
    }
    if (atomic_fetch_add(&arrivals, 1) + 1 != wanted)
        return;
    /* To this thread: one sent to the process stops it once another thread has seen it, this one going on. */
    raise(strcmp(rest, ":stop") == 0 ? SIGSTOP : SIGKILL);
}

bool fault_switch_is_on(const char *name)
{
    const char *wanted = getenv("VARVE_FAULT_SWITCH");
    return wanted && strcmp(wanted, name) == 0;
}
#else
typedef int fault_points_are_not_built;
#endif
