/*
 * Which messages the broker sends again, told from new ones by packet id: a ring of the last messages above
 * QoS 0 that went into the spool. Fixed memory, nothing is allocated for a message. Pure: no clock, no file,
 * no lock; the caller serialises.
 *
 * What the protocol gives (MQTT 3.1.1 and 5.0, the numbers are the same): a message above QoS 0 keeps its
 * packet id until it's acknowledged, no other unacknowledged one has it (2.2.1, 2.3.1); when a session goes
 * on, the broker sends what wasn't acknowledged again, with the same id and DUP set ([MQTT-4.4.0-1],
 * [MQTT-3.3.1-1]). What it doesn't give: DUP says that the broker sent it before, not that we had it (of a
 * backlog, most first copies carry DUP: they were sent into the socket of a process that was killed). And
 * which id comes next after an acknowledgement is the broker's affair: mosquitto counts up to 65,535 and
 * begins anew, HiveMQ takes the lowest that is free, so id 1 for nearly all.
 *
 * A message is held against the last one stored under its id, its twin: the same 64 bit hash over topic and
 * payload, and either unanswered, or among the last MQTT_DEDUP_WINDOW stored. With a twin
 *
 *   1. QoS 1, DUP, twin's PUBACK not written in this process: the broker can't have given the id to another
 *      message. It's the twin: not stored.
 *   2. QoS 1, DUP, PUBACK written (or stored by an earlier process, which may have written it): did the
 *      PUBACK get lost, or did the broker use the id for another message with the same bytes, whose first
 *      copy we never saw? A broker that counts ids up meets an id again after 65,535 messages only, all of
 *      which it has sent us in between: within half of that it's the twin. If this broker was seen to count
 *      up, it isn't stored. If not, it's stored, and counted as ambiguous: a double rather than a loss.
 *   3. QoS 1, no DUP: a new message by the protocol, and stored. Counted as ambiguous if it can't be: from a
 *      broker that counts up it's one that was acknowledged and that a crash of the broker brought back.
 *   4. QoS 2: DUP isn't asked, as paho hides it. Until its PUBCOMP goes out, which removes the twin, the id
 *      can't be another message's: not stored. What an earlier process stored may have been completed: as 2.
 *
 * A broker counts up if MQTT_DEDUP_RUN messages without DUP came with ids that rise by small steps, none
 * of which was in the ring, the last of them MQTT_DEDUP_ANSWER_MS or longer after the first one's PUBACK (or
 * PUBCOMP) had been written: a broker that takes free ids would have given the first one's id again. One
 * message without DUP under an id in the ring, with other bytes, and it no longer counts up. (Copies of QoS 2
 * that may be redeliveries are no evidence: see may_be_redelivered.)
 *
 * Where this ends: more than MQTT_DEDUP_WINDOW messages stored and their PUBACKs unread by the broker (with
 * version 5 receive_maximum is the limit, with 3.1.1 the broker's); a crash within the first second of a
 * session, or with a broker that takes free ids; brokers that don't follow the rules above, or come back
 * with an older state; shared subscriptions, where what isn't acknowledged goes to another member.
 */
#ifndef VARVE_SINKS_MQTT_MQTT_DEDUP_H
#define VARVE_SINKS_MQTT_MQTT_DEDUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sinks/mqtt/spool_segment.h"

/* Half of the packet ids. */
#define MQTT_DEDUP_WINDOW    32767u
#define MQTT_DEDUP_RUN       8u
#define MQTT_DEDUP_STEP_MAX  1024u
#define MQTT_DEDUP_ANSWER_MS 1000

struct mqtt_dedup; /* about 1.5 MiB, of which the pages of ids never used aren't touched */

struct mqtt_dedup_message {
    uint64_t hash;
    uint16_t packet_id; /* not 0 */
    uint8_t qos;        /* 1 or 2 */
    bool dup;
};

enum mqtt_dedup_verdict {
    MQTT_DEDUP_STORE,
    MQTT_DEDUP_DROP,      /* it's stored already */
    MQTT_DEDUP_AMBIGUOUS, /* to be stored, though it may be there already */
};

struct mqtt_dedup *mqtt_dedup_new(void);
void mqtt_dedup_free(struct mqtt_dedup *d);

/* Of topic and payload as they go into the spool. XXH64. */
uint64_t mqtt_dedup_hash(const struct spool_record *record);
struct mqtt_dedup_message mqtt_dedup_message_of(const struct spool_record *record);

/* What is to be done with a message that came. For DROP, *ret_lsn is that of the copy in the spool: it's
 * acknowledged when that one is durable. Changes nothing. */
enum mqtt_dedup_verdict mqtt_dedup_judge(const struct mqtt_dedup *d, const struct mqtt_dedup_message *m,
                                         uint64_t *ret_lsn);
/* It was appended to the spool under lsn. */
void mqtt_dedup_stored(struct mqtt_dedup *d, const struct mqtt_dedup_message *m, uint64_t lsn,
                       int64_t now_ms);
/* The PUBACK of the copy stored under lsn is about to be written. */
void mqtt_dedup_answered(struct mqtt_dedup *d, uint16_t packet_id, uint64_t lsn, int64_t now_ms);
/* PUBCOMP is about to be written: the broker may use the id for another message. */
void mqtt_dedup_completed(struct mqtt_dedup *d, uint16_t packet_id, int64_t now_ms);

/* A connection begins. is_resumed: the broker had the session, and may send again what it holds. */
void mqtt_dedup_connected(struct mqtt_dedup *d, bool is_resumed);
/* Records from lsn on were given up: the broker has to send these messages again. */
void mqtt_dedup_discard_from(struct mqtt_dedup *d, uint64_t lsn);
/* Another session, perhaps another broker: nothing of this holds for it. */
void mqtt_dedup_clear(struct mqtt_dedup *d);

/* At the start, in the order of storing: what an earlier process stored, whatever it answered. */
void mqtt_dedup_restore(struct mqtt_dedup *d, const struct mqtt_dedup_message *m, uint64_t lsn);
void mqtt_dedup_set_counts_up(struct mqtt_dedup *d, bool counts_up);

/* Whether this broker was seen to count ids up. */
bool mqtt_dedup_counts_up(const struct mqtt_dedup *d);
/* Whether the ring has an entry that was stored under an LSN of [from, end). */
bool mqtt_dedup_has_between(const struct mqtt_dedup *d, uint64_t from, uint64_t end);

/* An entry as it's kept over a restart. */
struct mqtt_dedup_item {
    uint64_t hash;
    uint16_t packet_id;
    uint8_t qos;
};
/* The entries below end_lsn, in the order of storing, into ret[MQTT_DEDUP_WINDOW]; returns their number. */
size_t mqtt_dedup_list(const struct mqtt_dedup *d, uint64_t end_lsn, struct mqtt_dedup_item *ret);

#endif
