/*
 * From sinks to the store: struct intake (sinks/sink.h) over storage_writer.
 *
 * The way of a sample is here: group -> series cache -> row. A known series on a known day costs a comparison
 * of its field name and the append of a row: no lock, no allocation, no division. The rest (labels, the
 * index) happens on a miss.
 */
#ifndef VARVE_SRC_INGEST_H
#define VARVE_SRC_INGEST_H

#include "sinks/reject_log.h"
#include "sinks/sink.h"
#include "src/intake_counters.h"
#include "storage/storage.h"

struct ingest;

/* Both must outlive it; reject_log may be NULL (then rejects are only counted). cache_bytes_max is the limit
 * of one worker's series cache, 0 for the default. */
struct ingest *ingest_new(struct storage *st, struct reject_log *reject_log, uint64_t cache_bytes_max);
/* All workers must be gone. NULL is fine. */
void ingest_free(struct ingest *ing);

/* What sinks are given; lives as long as ing. */
struct intake *ingest_intake(struct ingest *ing);

/* Sets or clears one reason to pause. Any thread. Returns whether that changed anything. */
bool ingest_set_paused(struct ingest *ing, enum intake_pause reason, bool paused);
unsigned ingest_paused(const struct ingest *ing);

/* For metrics, any thread. */
const struct intake_counters_list *ingest_counters(const struct ingest *ing);

#endif
