/* MQTT topic filters: what the MQTT specification (5.0, section 4.7) says of them. Pure. */
#ifndef VARVE_CONFIG_CONFIG_FILTER_H
#define VARVE_CONFIG_CONFIG_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "src/base/error.h"

/* ERR_INVALID says what is wrong and what would be right. */
int config_filter_check(const char *filter, struct error *reterr);
/* The filter itself without $share/GROUP/ before it. */
const char *config_filter_unshared(const char *filter);
static inline bool config_filter_is_shared(const char *filter)
{
    return config_filter_unshared(filter) != filter;
}
/* How many levels are +, which is the largest $n. */
size_t config_filter_captures(const char *filter);
/* Whether there is a topic that both match. */
bool config_filter_overlap(const char *a, const char *b);

#endif
