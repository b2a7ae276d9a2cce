/*
 * From the reject log to a Kafka topic (`rejects: {kafka: ...}`): the log is the spool, so that a broker that
 * is away, or slow, holds up nothing but this. Entries are sent once a commit record holds them; how far they
 * got is a position of the store's ("rejects/topic/TOPIC", the log's logical offset), part of a later commit,
 * so after a crash some are sent again: at least once. What max_size drops before it's sent is lost to the
 * topic, and counted by the log.
 */
#ifndef VARVE_SRC_REJECT_FORWARD_H
#define VARVE_SRC_REJECT_FORWARD_H

#include "config/config.h"
#include "storage/storage.h"

/* Of the position; the topic's name follows. No key of a sink's (position_text.h) can begin so: none has
 * "topic" behind the sink's name. */
#define REJECT_FORWARD_KEY "rejects/topic/"

struct reject_forward;

/* Starts the thread; NULL in *ret if the configuration names no topic. st must outlive it. */
int reject_forward_start(struct reject_forward **ret, const struct config *cfg, struct storage *st,
                         struct error *reterr);
/* Ends the thread, within about 2 s. NULL is fine, here and below. */
void reject_forward_stop(struct reject_forward *f);
/* After the store was closed: it may tell of commits until then. */
void reject_forward_free(struct reject_forward *f);

/* A commit record with that length of the log is durable. Any thread. */
void reject_forward_durable(struct reject_forward *f, uint64_t length);
/* Entries acknowledged by the topic's brokers, since the start. Any thread. */
uint64_t reject_forward_total(struct reject_forward *f);

#endif
