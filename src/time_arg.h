/*
 * Times in query arguments and options, as VictoriaMetrics reads them (lib/timeutil/time.go,
 * lib/httputil/time.go): Unix seconds, milliseconds, microseconds or nanoseconds by their size, with a
 * fraction or an exponent; RFC 3339 and its prefixes down to a year, with or without zone (none: local time);
 * "now", "now-1h", "-1h30m", "5m".
 */
#ifndef VARVE_SRC_TIME_ARG_H
#define VARVE_SRC_TIME_ARG_H

#include <stdint.h>

#include "src/base/error.h"

#define TIME_ARG_MAX_MS (INT64_MAX / 1000000) /* what a stock server cuts times to; the least is 0 */

/* now_ms is what relative times count from. *ret_ms lies within 0 ... TIME_ARG_MAX_MS. ERR_INVALID. */
int time_arg_parse(const char *text, int64_t now_ms, int64_t *ret_ms, struct error *reterr);

#endif
