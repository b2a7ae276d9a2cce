/*
 * Named places at which tests stop or kill the process (RocksDB's sync points, in one macro).
 *
 * In builds with VARVE_FAULT_POINTS the environment variable VARVE_FAULT_POINT=NAME[:N][:kill|:stop] makes
 * the N-th arrival (default the first) at FAULT_POINT("NAME") raise SIGKILL (default) or SIGSTOP. In release
 * builds the macro is empty. :sleep makes each arrival wait 300 ms, to widen a race.
 */
#ifndef VARVE_BASE_FAULT_POINT_H
#define VARVE_BASE_FAULT_POINT_H

#ifdef VARVE_FAULT_POINTS
void fault_point_reached(const char *name);
#define FAULT_POINT(name) fault_point_reached(name)
#else
#define FAULT_POINT(name) ((void)0)
#endif

#endif
