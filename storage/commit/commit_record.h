/*
 * A commit record: what one cut made durable (architecture 3, step 3).
 *
 * Payload, little endian; the journal frames and checksums it:
 *   u64 n           number of the commit, ascending by one
 *   u64 published   every commit up to this one is listed in its tables' parts.json
 *   i64 time_ms     wall clock when it was made
 *   u64 reject_log_length
 *   u32 parts_count, then per part u8 kind, 7 bytes month (YYYY_MM), 16 bytes name
 *   positions       that changed in this cut (positions.h)
 * A record without parts and positions only says what was published.
 */
#ifndef VARVE_STORAGE_COMMIT_COMMIT_RECORD_H
#define VARVE_STORAGE_COMMIT_COMMIT_RECORD_H

#include "storage/commit/positions.h"
#include "storage/fs/file_names.h"

enum part_place { PLACE_SMALL = 0, PLACE_BIG = 1, PLACE_INDEX = 2 };
#define PART_PLACES 3

/* The folder of a place below data/ and below a staging directory. */
const char *part_place_dir(enum part_place place);

struct record_part {
    enum part_place place;
    char month[MONTH_TEXT_SIZE];
    char name[PART_NAME_TEXT_SIZE];
};

struct commit_record {
    uint64_t n;
    uint64_t published;
    int64_t time_ms;
    uint64_t reject_log_length;
    struct record_part *parts;
    size_t parts_count, parts_capacity;
    struct position_table positions;
};

void commit_record_release(struct commit_record *record);
void commit_record_add_part(struct commit_record *record, enum part_place place, const char *month,
                            const char *name);
void commit_record_encode(const struct commit_record *record, struct buffer *dst);
/* Fills an empty record. Distrusts every byte: months and names must be well-formed, nothing may follow. */
int commit_record_decode(struct commit_record *record, const uint8_t *data, size_t size,
                         struct error *reterr);

#endif
