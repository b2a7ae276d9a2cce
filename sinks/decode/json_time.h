/* Times in JSON readings. Pure; any thread. */
#ifndef VARVE_SINKS_DECODE_JSON_TIME_H
#define VARVE_SINKS_DECODE_JSON_TIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_time_format {
    JSON_TIME_AUTO,    /* digits: by their size, as VictoriaMetrics guesses; else RFC 3339 */
    JSON_TIME_RFC3339, /* 2026-11-01T12:00:00.25+01:00; t, z and a space for T are taken, too */
    JSON_TIME_S,       /* since 1970 UTC, from here on */
    JSON_TIME_MS,
    JSON_TIME_US,
    JSON_TIME_NS,
};

/* Milliseconds since 1970 UTC of a number's or a string's text; finer digits are cut off. False if it's no
 * time of that format, or out of range. A time without a zone isn't one: nobody knows when that was. 0 stands
 * for a clock that isn't set: TIMESTAMP_NONE comes out. */
bool json_time_parse(const char *text, size_t len, enum json_time_format format, int64_t *ret_ms);

#endif
