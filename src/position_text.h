/*
 * Positions for people: keys that a sink's own rules explain (kafka_position.h, mqtt_sink.h) are taken apart,
 * others shown in hexadecimal. Pure functions.
 */
#ifndef VARVE_SRC_POSITION_TEXT_H
#define VARVE_SRC_POSITION_TEXT_H

#include <stdint.h>

#include "src/base/buffer.h"

/* "plant: kafka topic metrics partition 3 at offset 17 (cluster X)", "field: mqtt spool 0011...ff at message
 * 17": that one is the next to be read. */
void position_append_text(struct buffer *dst, const uint8_t *key, uint32_t key_len, uint64_t next);

/* {"key":"...","sink":"plant","type":"kafka","cluster":"...","topic":"metrics","partition":3,"next":17,"mark":"hex"};
 * {"key":"...","sink":"field","type":"mqtt","spool":"0011...ff","next":17,"mark":"hex"}; of an unknown key
 * {"key_hex":"...","next":17,"mark":"hex"}. */
void position_append_json(struct buffer *dst, const uint8_t *key, uint32_t key_len, uint64_t next,
                          const uint8_t *mark, uint32_t mark_len);

#endif
