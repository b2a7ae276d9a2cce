/*
 * Positions: where each source is to be read on. Opaque bytes to storage.
 *
 * A table is a sorted array: sources are few (a row per Kafka partition or spool) and new ones rare.
 * Not thread-safe; storage guards its tables with RANK_POSITIONS.
 *
 * Encoded (little endian): u32 count, then per position u16 key length, key, u64 next, u8 mark length, mark.
 */
#ifndef VARVE_STORAGE_COMMIT_POSITIONS_H
#define VARVE_STORAGE_COMMIT_POSITIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/buffer.h"
#include "src/base/error.h"

#define STORAGE_POSITION_MARK_MAX 64
#define POSITION_KEY_MAX          4096

struct storage_position {
    uint64_t next;                           /* where the source is to be read on */
    uint8_t mark[STORAGE_POSITION_MARK_MAX]; /* the owner's fingerprint of the record before it */
    uint8_t mark_len;
};

struct position_entry {
    uint8_t *key;
    uint32_t key_len;
    struct storage_position position;
    bool changed; /* since position_table_take_changes */
};

struct position_table {
    struct position_entry *entries; /* by key, bytewise */
    size_t count, capacity;
};

void position_table_release(struct position_table *table);
/* NULL if there's none. The pointer holds until the next set. */
const struct position_entry *position_table_find(const struct position_table *table, const void *key,
                                                 uint32_t key_len);
/* Adds or replaces; the key is copied. A key longer than POSITION_KEY_MAX is the caller's bug and stops the
 * program. */
void position_table_set(struct position_table *table, const void *key, uint32_t key_len,
                        const struct storage_position *position);
/* Forgets a source; true if it was there. Commit records can't say so: for a table that is to be written
 * whole. */
bool position_table_remove(struct position_table *table, const void *key, uint32_t key_len);
/* Moves what changed since the last call into *ret_changes (an empty table), for a commit record. */
void position_table_take_changes(struct position_table *table, struct position_table *ret_changes);
/* Sets all of changes in table. */
void position_table_apply(struct position_table *table, const struct position_table *changes);

void position_table_encode(const struct position_table *table, struct buffer *dst);
/* Sets what data[*offset..] holds in table and moves *offset behind it. ERR_CORRUPT on anything odd. */
int position_table_decode(struct position_table *table, const uint8_t *data, size_t size, size_t *offset,
                          struct error *reterr);

#endif
