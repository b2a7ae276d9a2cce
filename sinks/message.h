/*
 * One message on its way from a sink to a decoder, with what its surroundings say of it. All borrowed: valid
 * for the call it's given to.
 */
#ifndef VARVE_SINKS_MESSAGE_H
#define VARVE_SINKS_MESSAGE_H

#include <stdbool.h>

#include "sinks/sample_batch.h"

struct message {
    struct span payload; /* unpacked */
    struct span topic;
    struct span key;             /* Kafka's; empty where there's none */
    const struct span *captures; /* $1...: groups of the topic's expression, + levels of the filter */
    size_t captures_count;
    struct span rest; /* "$#": what # of the filter matched */
    /* The last header of that name; false if there's none. NULL: the transport has no headers. */
    bool (*header)(const void *context, const char *name, struct span *ret_value);
    const void *header_context;
    int64_t time_ms; /* the record's time, or arrival; TIMESTAMP_NONE if unknown */
};

#endif
