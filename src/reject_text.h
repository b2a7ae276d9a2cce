/* Entries of the reject log for people and for programs. Bytes of strangers: nothing but printable ASCII
 * reaches a terminal. Pure functions. */
#ifndef VARVE_SRC_REJECT_TEXT_H
#define VARVE_SRC_REJECT_TEXT_H

#include "sinks/reject_log.h"
#include "src/base/buffer.h"

/* "2026-11-24T12:00:00.000Z plant metrics/0@17 line 3 bad_line 22 bytes: cpu,host=a\x00\n" on one line; of
 * payload the first shown_max bytes, with ... behind if that's not all. */
void reject_append_text(struct buffer *dst, const struct reject_entry *entry, size_t shown_max);

/* {"time_ms":...,"sink":"...","position":"...","reason":"...","size":22,"kept":22,"record_time_ms":...,
 * "key":"...","payload":"..."} on one line; what isn't UTF-8 is "key_base64" or "payload_base64" instead. */
void reject_append_json(struct buffer *dst, const struct reject_entry *entry);

#endif
