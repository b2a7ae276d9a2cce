/* Topic filters (MQTT 5.0, 4.7): checked, matched, compared. Pure functions over UTF-8 bytes. */
#ifndef VARVE_SINKS_MQTT_MQTT_TOPIC_H
#define VARVE_SINKS_MQTT_MQTT_TOPIC_H

#include <stdbool.h>
#include <stddef.h>

#include "sinks/sample_batch.h"
#include "src/base/error.h"

#define MQTT_CAPTURES_MAX 32

/* ERR_INVALID says what is wrong with it: wildcards that don't stand alone, an empty or over-long one, more
 * than MQTT_CAPTURES_MAX +, a $share without group or filter. */
int mqtt_filter_check(const char *filter, struct error *reterr);

/* The filter behind $share/GROUP/, else the filter itself. */
const char *mqtt_filter_unshared(const char *filter);

struct mqtt_match {
    struct span captures[MQTT_CAPTURES_MAX]; /* levels that + matched, in order */
    size_t captures_count;
    struct span rest; /* what # matched; empty if the filter has none, or it matched its parent */
};

/* Whether a valid filter matches the topic; ret may be NULL. Wildcards of the first level don't match topics
 * that begin with $. */
bool mqtt_filter_match(const char *filter, struct span topic, struct mqtt_match *ret);

/* Whether there is a topic that both match. */
bool mqtt_filters_overlap(const char *a, const char *b);

#endif
