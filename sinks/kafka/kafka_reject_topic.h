/*
 * A Kafka topic that gets what was rejected, at least once: of an entry that is there twice both have one
 * key, "SINK/POSITION". The value is the bytes that were kept; the headers varve.sink, varve.position,
 * varve.reason, varve.time_ms, varve.size, and varve.key and varve.record_time_ms where known, say the rest.
 *
 * One thread; the library's own do the sending.
 */
#ifndef VARVE_SINKS_KAFKA_KAFKA_REJECT_TOPIC_H
#define VARVE_SINKS_KAFKA_KAFKA_REJECT_TOPIC_H

#include "sinks/kafka/kafka_sink.h"
#include "sinks/reject_log.h"

struct kafka_reject_topic;

/* Makes the client; no broker is asked. ERR_INVALID names the property that the library refuses. */
int kafka_reject_topic_open(struct kafka_reject_topic **ret, const char *brokers, const char *topic,
                            const struct kafka_property *properties, size_t properties_count,
                            struct error *reterr);
/* What isn't delivered yet is given up. NULL is fine. */
void kafka_reject_topic_close(struct kafka_reject_topic *t);

/* Takes a copy. ERR_FULL: the library's queue is; deliver first. ERR_INVALID: the broker or the library will
 * never take it. */
int kafka_reject_topic_send(struct kafka_reject_topic *t, const struct reject_entry *entry,
                            struct error *reterr);
/* Waits until all that was sent is acknowledged by the brokers: 0, or an error if one wasn't within
 * timeout_ms: then send all of them again. */
int kafka_reject_topic_deliver(struct kafka_reject_topic *t, int64_t timeout_ms, struct error *reterr);

#endif
