/*
 * The service: starts everything in order, watches over it, stops it in order.
 *
 *   start: store -> reject log -> sinks made -> HTTP -> sinks started -> READY
 *   stop:  intake stopped -> last commit -> sinks acknowledge and leave -> HTTP -> store closed
 *
 * SIGTERM or SIGINT stops it, within 10 s also when no broker answers. A second SIGINT ends it at once, which
 * loses nothing.
 */
#ifndef VARVE_SRC_DAEMON_H
#define VARVE_SRC_DAEMON_H

#include "config/config.h"

/* Runs until it's stopped. The main thread's. Returns the exit code. */
int daemon_run(const struct config *cfg);

#endif
