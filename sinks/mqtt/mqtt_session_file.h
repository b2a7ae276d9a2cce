/*
 * What is known of the session at the broker and can't be read from the spool, in the spool's directory:
 * file `session`, replaced as a whole. Little endian.
 *
 *    0   8  "varvese1"
 *    8   8  identity: of client id and broker, see mqtt_session.h
 *   16   8  first LSN of this session: records below it came over an earlier one
 *   24   8  end LSN: the entries below are of records before it; those from it on are read from the spool
 *   32   1  1: the broker was seen to count packet ids up (mqtt_dedup.h)
 *   33   3  0
 *   36   4  number of entries
 *   40      entries in the order of storing: 2 packet id, 2 QoS, 8 hash over topic and payload
 *           4 CRC32C of all before
 *
 * Pure functions.
 */
#ifndef VARVE_SINKS_MQTT_MQTT_SESSION_FILE_H
#define VARVE_SINKS_MQTT_MQTT_SESSION_FILE_H

#include "sinks/mqtt/mqtt_dedup.h"
#include "src/base/buffer.h"

#define MQTT_SESSION_FILE     "session"
#define MQTT_SESSION_SIZE_MAX (44 + 12 * (size_t)MQTT_DEDUP_WINDOW)

struct mqtt_session_state {
    uint64_t identity, first_lsn, end_lsn;
    bool counts_up;
    struct mqtt_dedup_item *items; /* owned; malloc */
    size_t items_count;            /* at most MQTT_DEDUP_WINDOW */
};

void mqtt_session_state_release(struct mqtt_session_state *state);

void mqtt_session_encode(struct buffer *dst, const struct mqtt_session_state *state);
/* False if it's damaged; ret is untouched then. */
bool mqtt_session_parse(const uint8_t *data, size_t size, struct mqtt_session_state *ret);

#endif
