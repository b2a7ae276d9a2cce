/*
 * Positions for people: keys that a sink's own rules explain (kafka_position.h, mqtt_sink.h) are taken apart,
 * others shown in hexadecimal. Pure functions.
 */
#ifndef VARVE_SRC_POSITION_TEXT_H
#define VARVE_SRC_POSITION_TEXT_H

#include <stdint.h>

#include "sinks/sample_batch.h" /* struct span */
#include "src/base/buffer.h"
#include "storage/commit/positions.h"

/* "plant: kafka topic metrics partition 3 at offset 17 (cluster X)", "field: mqtt spool 0011...ff at message
 * 17": that one is the next to be read. "plant: rejects replayed up to byte 1234": reject_replay.h. "rejects
 * sent to kafka topic varve-rejects up to byte 1234": reject_forward.h. */
void position_append_text(struct buffer *dst, const uint8_t *key, uint32_t key_len,
                          const struct storage_position *position);
/* The part behind "at": "offset 17", "its earliest record", "its first record from 2026-11-01T00:00:00Z on",
 * "message 17". */
void position_append_where(struct buffer *dst, const uint8_t *key, uint32_t key_len,
                           const struct storage_position *position);

/* {"key":"...","sink":"plant","type":"kafka","cluster":"...","topic":"metrics","partition":3,"next":17,"mark":"hex"};
 * {"key":"...","sink":"field","type":"mqtt","spool":"0011...ff","next":17,"mark":"hex"};
 * {"key":"...","sink":"field","type":"rejects",...}; {"key":"...","type":"reject_topic","topic":"...",...};
 * of an unknown key
 * {"key_hex":"...","next":17,"mark":"hex"}. Where `varve offsets reset` left an order, "begin": "earliest",
 * "latest", "time" or "offset" beside it. */
void position_append_json(struct buffer *dst, const uint8_t *key, uint32_t key_len,
                          const struct storage_position *position);

enum position_source {
    POSITION_UNKNOWN,
    POSITION_KAFKA,
    POSITION_MQTT,
    POSITION_REJECTS,      /* replayed */
    POSITION_REJECT_TOPIC, /* sent on to Kafka */
};

/* A key's parts, which borrow from it; empty where the source has none. */
struct position_key {
    enum position_source source;
    struct span sink, cluster, topic, spool;
    uint32_t partition;
};
struct position_key position_parse_key(const uint8_t *key, uint32_t key_len);

#endif
