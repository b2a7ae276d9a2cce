/*
 * The notations of config values: durations, sizes, percentages, times. Pure functions over NUL-terminated
 * text.
 *
 * Parsers return 0, or ERR_INVALID with a message that starts with what is wrong and ends with what would be
 * right; it doesn't repeat the text, which may be a secret. Formatters write the shortest text that the
 * parser reads back to the same value, into dst of CONFIG_VALUE_TEXT_MAX bytes, and return dst.
 */
#ifndef VARVE_CONFIG_CONFIG_VALUES_H
#define VARVE_CONFIG_CONFIG_VALUES_H

#include <stdint.h>

#include "src/base/error.h"

#define CONFIG_VALUE_TEXT_MAX 64

/* "200ms", "5s", "90m", "1h30m", "7d", "2w", "13M", "1y": whole numbers with units, largest first, each once.
 * As in VictoriaMetrics M is a month of 31 days (m a minute) and y a year of 365 days. "0" needs no unit. */
int config_parse_duration_ms(const char *text, int64_t *ret_ms, struct error *reterr);
char *config_format_duration_ms(int64_t ms, char *dst);

/* "4096", "256KiB", "64MiB", "1GiB", "2TiB" (powers of 1024), "1KB"/"1kB", "5MB", "1GB", "2TB" (of 1000),
 * "100B". At most INT64_MAX. */
int config_parse_size(const char *text, uint64_t *ret_bytes, struct error *reterr);
char *config_format_size(uint64_t bytes, char *dst);

/* A share of something, or so many bytes: percent is 0 when bytes holds. */
struct config_percent_or_size {
    uint32_t percent; /* 1..100 */
    uint64_t bytes;
};

/* "60%" (1% to 100%) or a size. */
int config_parse_percent_or_size(const char *text, struct config_percent_or_size *ret, struct error *reterr);
char *config_format_percent_or_size(struct config_percent_or_size value, char *dst);

/* RFC 3339 from 1970 to 9999: "2026-11-01T00:00:00Z", "2026-11-01T01:00:00.250+01:00". Milliseconds since
 * 1970 UTC; digits beyond them are dropped. */
int config_parse_time_ms(const char *text, int64_t *ret_ms, struct error *reterr);
char *config_format_time_ms(int64_t ms, char *dst);

/* A whole number, decimal digits only. */
int config_parse_count(const char *text, uint64_t *ret, struct error *reterr);

#endif
