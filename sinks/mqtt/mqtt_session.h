/*
 * The session at the broker: which of its messages are in the spool already (mqtt_dedup.h), over restarts of
 * this process and over the loss of the session.
 *
 * The ring is rebuilt at the start: from the file `session` (mqtt_session_file.h), and from the records of
 * the spool behind it. Segments are trimmed away only when the file holds what the ring has of them; so that
 * it isn't written all the time, they stay until they are worth it (mqtt_session_trim).
 *
 * A session that the broker doesn't know (session present = 0 in CONNACK) is a new one, with packet ids that
 * mean nothing to the ring: it's cleared, and the file says from which LSN on records are of the new session,
 * before the first filter is subscribed. So it's done if client_id or the broker's address were changed. (If
 * the process dies between that CONNACK and the file, the new session is taken for the old one: with no
 * filter subscribed it has no messages yet, and a later one would have to come with DUP, an id and the bytes
 * of an old one.)
 *
 * Threads: judge and stored in paho's callbacks, one at a time; answered and completed under paho's mutex;
 * the others from any. lock is a leaf; save_lock is held over writing the file.
 */
#ifndef VARVE_SINKS_MQTT_MQTT_SESSION_H
#define VARVE_SINKS_MQTT_MQTT_SESSION_H

#include "sinks/mqtt/mqtt_dedup.h"
#include "sinks/mqtt/spool.h"
#include "src/base/mutex.h"

struct mqtt_session {
    struct spool *spool;
    const char *sink_name; /* borrowed */
    uint64_t trim_bytes;   /* worth a trim */

    struct mutex lock;
    struct mqtt_dedup *dedup;
    bool is_new; /* the broker didn't know the session, and the file doesn't say so yet */

    struct mutex save_lock; /* what follows */
    uint64_t identity;
    uint64_t first_lsn, saved_end_lsn;
    bool is_known;   /* the broker had it once: that it hasn't any more is a loss */
    bool is_unsaved; /* the file has to be written before anything is subscribed */
    bool saved_counts_up;
    int64_t failure_said_ms;
};

/* The session that client_id names at this broker, as a number. */
uint64_t mqtt_session_identity(const char *client_id, const char *host, unsigned port, const char *path);

/* Reads what is known. The spool must be open, and outlive it. sink_name is borrowed, for the log. */
int mqtt_session_open(struct mqtt_session *e, struct spool *spool, uint64_t spool_max_bytes,
                      const char *sink_name, uint64_t identity, struct error *reterr);
/* Also of one that was never opened (all zeros). */
void mqtt_session_close(struct mqtt_session *e);

/* In paho's callback for CONNACK, before any message comes. */
void mqtt_session_connected(struct mqtt_session *e, bool is_present);
/* Then, before anything is subscribed: makes durable what is new. *ret_is_lost: there was a session, and what
 * the broker held for it is gone. On failure nothing may be subscribed, and the next connection tries again.
 */
int mqtt_session_begin(struct mqtt_session *e, bool *ret_is_lost, struct error *reterr);

/* record: as it will go into the spool, above QoS 0. *ret_lsn: of the copy that is there, for DROP. */
enum mqtt_dedup_verdict mqtt_session_judge(struct mqtt_session *e, const struct mqtt_dedup_message *m,
                                           uint64_t *ret_lsn);
void mqtt_session_stored(struct mqtt_session *e, const struct mqtt_dedup_message *m, uint64_t lsn);
/* The PUBACK of the copy at lsn is about to be written; PUBCOMP is. e: a struct mqtt_session. */
void mqtt_session_answered(void *e, uint16_t packet_id, uint64_t lsn);
void mqtt_session_completed(void *e, uint16_t packet_id);

/* After spool_recover: records that weren't durable are gone. No connection is up. */
void mqtt_session_forget_undurable(struct mqtt_session *e);
/* All below lsn are in the store: trims the spool if it's worth it, or now (is_final). */
void mqtt_session_trim(struct mqtt_session *e, uint64_t lsn, bool is_final);
/* Now and then: what was learned of the broker is kept. */
void mqtt_session_keep_learned(struct mqtt_session *e);
bool mqtt_session_counts_up(struct mqtt_session *e);

#endif
