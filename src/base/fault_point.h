/*
 * Named places at which tests stop or kill the process (RocksDB's sync points, in one macro).
 *
 * In builds with VARVE_FAULT_POINTS the environment variable VARVE_FAULT_POINT=NAME[:N][:kill|:stop] makes
 * the N-th arrival (default the first) at FAULT_POINT("NAME") raise SIGKILL (default) or SIGSTOP, before the
 * thread goes on. In release builds the macro is empty. :sleep makes each arrival wait 300 ms, to widen a
 * race.
 *
 * FAULT_SWITCH("NAME") is true while the environment variable VARVE_FAULT_SWITCH is NAME: the program is
 * wrong in one way then, which the test has to notice. In release builds it's false.
 */
#ifndef VARVE_BASE_FAULT_POINT_H
#define VARVE_BASE_FAULT_POINT_H

#include <stdbool.h>

#ifdef VARVE_FAULT_POINTS
void fault_point_reached(const char *name);
bool fault_switch_is_on(const char *name);
#define FAULT_POINT(name)  fault_point_reached(name)
#define FAULT_SWITCH(name) fault_switch_is_on(name)
#else
#define FAULT_POINT(name)  ((void)0)
#define FAULT_SWITCH(name) false
#endif

#endif
