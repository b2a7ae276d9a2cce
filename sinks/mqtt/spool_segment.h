/*
 * Bytes of a spool's segment files. Pure functions; everything little endian.
 *
 *   file      SSSSSSSSSSSSSSSS.spool: LSN of its first record, in hexadecimal
 *   header    0   8  "varvesp1"
 *             8   8  LSN of the first record
 *            16   4  seed: random per life of the file, so that bytes of an earlier life never check
 *            20   4  0
 *            24   4  CRC32C of the 24 bytes before
 *            28   4  0
 *   record    0   4  size of the whole record
 *             4   4  CRC32C, begun with the seed, of the size and of all from 8 on
 *             8   8  LSN: one more than the record's before
 *            16   8  arrival, Unix milliseconds
 *            24   2  packet id; 0 for QoS 0
 *            26   1  flags: QoS in bits 0 and 1, 4 retained, 8 DUP, 16 cut
 *            27   1  0
 *            28   2  length of the topic
 *            30   2  0
 *            32      topic, then payload; of one that was cut: 4 bytes of the size that it had, then its head
 *
 * A segment's records end where the next segment begins: what stands behind that LSN was abandoned after a
 * failed write or fsync, and was never acknowledged.
 */
#ifndef VARVE_SINKS_MQTT_SPOOL_SEGMENT_H
#define VARVE_SINKS_MQTT_SPOOL_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sinks/sample_batch.h"
#include "src/base/buffer.h"

#define SPOOL_SEGMENT_HEADER_SIZE 32
#define SPOOL_RECORD_HEADER_SIZE  32
#define SPOOL_SEGMENT_NAME_SIZE   23 /* with the NUL */
/* MQTT's own limits: 64 KiB of topic, 256 MiB of packet. */
#define SPOOL_RECORD_SIZE_MAX (SPOOL_RECORD_HEADER_SIZE + UINT16_MAX + 268435456u)

struct spool_record {
    uint64_t lsn;
    int64_t arrival_ms;
    uint32_t crc; /* set by parsing: a fingerprint of the record */
    uint16_t packet_id;
    uint8_t qos;
    bool retained, dup;
    uint32_t cut_from; /* not 0: the payload was so large, and is its head only */
    struct span topic; /* at most 64 KiB - 1 */
    struct span payload;
};

void spool_segment_name(uint64_t first_lsn, char ret[SPOOL_SEGMENT_NAME_SIZE]);
/* False if name isn't a segment's. */
bool spool_segment_parse_name(const char *name, uint64_t *ret_first_lsn);

void spool_segment_put_header(uint8_t dst[SPOOL_SEGMENT_HEADER_SIZE], uint64_t first_lsn, uint32_t seed);
/* False if it's damaged, or another segment's. */
bool spool_segment_parse_header(const uint8_t *data, size_t size, uint64_t first_lsn, uint32_t *ret_seed);

size_t spool_record_size(const struct spool_record *record);
/* Appends the record without its checksum, which needs the seed of the file that it will go to. */
void spool_record_append(struct buffer *dst, const struct spool_record *record);
/* Puts in the checksums of all records of data, which spool_record_append made. */
void spool_records_seal(uint8_t *data, size_t size, uint32_t seed);

enum spool_parse {
    SPOOL_PARSE_OK,
    SPOOL_PARSE_SHORT,   /* there may be a whole record, but data ends before it does */
    SPOOL_PARSE_DAMAGED, /* no record of that LSN begins here */
};

/* Reads the record at data. *ret_size is its size, also for SHORT if as much is known (else 0), and for
 * DAMAGED if a size that makes sense stands there (else 0). The spans borrow from data. */
enum spool_parse spool_record_parse(const uint8_t *data, size_t size, uint32_t seed, uint64_t lsn,
                                    struct spool_record *ret, size_t *ret_size);

#endif
