/*
 * Replaying rejects: the reject log as one more source of the store.
 *
 * What was rejected is decoded again, as the configuration now says, and stored if that works; what is still
 * bad goes to the end of the reject log again, as it was. Both are part of the same commit, together with a
 * position ("SINK/rejects": the log's logical offset up to which the sink's entries have been dealt with), as
 * a record of Kafka's is. So a replay that is killed, or run twice, stores nothing twice and loses nothing,
 * and every entry that didn't work out waits for the next replay. The sink's own positions aren't touched.
 */
#ifndef VARVE_SRC_REJECT_REPLAY_H
#define VARVE_SRC_REJECT_REPLAY_H

#include <stdint.h>

#include "config/config.h"

/* Behind "SINK/", of the position's key. */
#define REJECT_REPLAY_KEY "rejects"

struct reject_replay_totals {
    uint64_t entries;          /* of sinks that are configured, and not dealt with by an earlier replay */
    uint64_t stored;           /* decoded, wholly or but for some lines, which are rejects of their own */
    uint64_t rows;             /* that came of it */
    uint64_t rows_dropped;     /* ... and that time or series limits kept out */
    uint64_t still_bad;        /* rejected again */
    uint64_t cut_short;        /* only their head was kept: kept on */
    uint64_t other_topic;      /* none of the sink's any more: kept on */
    uint64_t needs_headers;    /* labels refer to headers, which aren't kept: kept on */
    uint64_t parts;            /* parts of a message that mean nothing alone: kept on */
    uint64_t of_other_sinks;   /* not configured, or not asked for: left alone */
    uint64_t damaged_segments; /* of the log */
};

/* Replays into the store in dir, which mustn't be running, what its reject log holds (rejects_dir). sink_name
 * may be NULL: all sinks of cfg. The store is closed cleanly afterwards. ERR_BUSY if a server runs on it,
 * ERR_NOT_FOUND if there's no store, no reject log or no such sink. Ends the process, with nothing
 * lost, if the store fails under it. */
int reject_replay_run(const struct config *cfg, const char *dir, const char *rejects_dir,
                      const char *sink_name, struct reject_replay_totals *ret, struct error *reterr);

#endif
