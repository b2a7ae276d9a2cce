/*
 * One file of the reject log: its bytes, and nothing of how files follow each other (reject_log.h). Little
 * endian.
 *
 * Name: the logical offset of its first entry as 16 hex digits, then ".rejects".
 *
 *   Header                                 | Entry
 *   00-07  "VARVERJ1"                      | 00-03  crc32c of bytes 04 to its end
 *   08-15  logical offset of first entry   | 04-07  size of the entry, this header included
 *   16-23  sequence of first entry         | 08-15  sequence
 *   24-27  0                               | 16-23  time, Unix ms
 *   28-31  crc32c of bytes 00-27           | 24-31  full size of the message
 *                                          | 32-35  bytes of payload kept
 *                                          | 36-37, 38-39, 40-41  length of sink, position, reason
 *                                          | 42-43  length of the surroundings
 *                                          | then sink, position, reason, surroundings, payload
 *
 *   Surroundings (none if neither is known): 8 bytes time of the message, Unix ms (0: unknown), then its key
 *
 * A reader takes entries up to the first that is short, has a bad checksum, or a sequence other than the next
 * one (bytes of an older file life, that a lost truncation brought back); what follows in that file is lost.
 */
#ifndef VARVE_SINKS_REJECT_SEGMENT_H
#define VARVE_SINKS_REJECT_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sinks/reject_log.h"
#include "src/base/buffer.h"

#define REJECT_SEGMENT_HEADER_SIZE 32
#define REJECT_ENTRY_HEADER_SIZE   44
#define REJECT_ENTRY_SIZE_MAX      (REJECT_ENTRY_HEADER_SIZE + 4 * UINT16_MAX + REJECT_PAYLOAD_MAX)
#define REJECT_SEGMENT_NAME_SIZE   25 /* with the NUL */

void reject_segment_name(uint64_t start, char ret[REJECT_SEGMENT_NAME_SIZE]);
/* False if name isn't a segment's. */
bool reject_segment_parse_name(const char *name, uint64_t *ret_start);

void reject_segment_put_header(uint8_t dst[REJECT_SEGMENT_HEADER_SIZE], uint64_t start, uint64_t sequence);
/* False if it's damaged or not that of a segment that starts at start. */
bool reject_segment_parse_header(const uint8_t *data, size_t size, uint64_t start, uint64_t *ret_sequence);

/* Appends the entry's bytes to dst, its fields cut to their limits. */
void reject_entry_append(struct buffer *dst, const struct reject_entry *entry);
/* Reads the entry at data, whose sequence has to be as given. Returns its size, or 0 if there is no whole
 * one. The spans borrow from data. */
size_t reject_entry_parse(const uint8_t *data, size_t size, uint64_t sequence, struct reject_entry *ret);

/* A segment in memory. A zeroed struct holds none. */
struct reject_segment_data {
    uint8_t *data;
    size_t size;
    uint64_t start; /* logical offset of the first entry */
    uint64_t first_sequence;
};

/* Reads the segment that starts at start from the directory dir_fd. ERR_CORRUPT if its header is damaged. */
int reject_segment_read(int dir_fd, uint64_t start, struct reject_segment_data *ret, struct error *reterr);
void reject_segment_data_release(struct reject_segment_data *s);

/* The starts of all segments of dir_fd in ascending order; to be freed. */
int reject_segment_list(int dir_fd, uint64_t **ret_starts, size_t *ret_count, struct error *reterr);

#endif
