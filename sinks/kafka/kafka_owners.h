/*
 * What the metadata of the group's offsets says: whose an offset is, by which commit, and, with
 * fenced_commits, whose the partition was before. Pure functions.
 *
 *   v1;STORE-ID;N                                        N: number of the commit record
 *
 *   v2;STORE-ID;N;TOKEN[;STORE-ID:TOKEN]...[;+]
 *
 * TOKEN (16 hex digits) is the commit's, random. Behind it come the stores that had the partition before,
 * the latest first, each with its last commit: so a node that comes back after others have gone on can still
 * find out whether a commit of its own was made. + says that there were more, which aren't known.
 */
#ifndef VARVE_SINKS_KAFKA_KAFKA_OWNERS_H
#define VARVE_SINKS_KAFKA_KAFKA_OWNERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/buffer.h"

/* "v1;STORE-ID;N" */
#define KAFKA_METADATA_MAX 128
void kafka_metadata_format(char dst[KAFKA_METADATA_MAX], const char *store_id, uint64_t commit_number);

enum kafka_group_owner {
    KAFKA_OWNER_NONE,        /* no offset committed, or one without metadata */
    KAFKA_OWNER_OURS,        /* this store's */
    KAFKA_OWNER_OTHER_STORE, /* another Varve's */
    KAFKA_OWNER_FOREIGN,     /* somebody else's words */
};
enum kafka_group_owner kafka_metadata_owner(const void *metadata, size_t len, const char *store_id);

/* --- of fenced commits --- */

#define KAFKA_OWNERS_MAX 4096 /* bytes; Kafka's offset.metadata.max.bytes, unless it's set lower */

/* Appends what the next owner passes on of this metadata: ";STORE-ID:TOKEN" of every store but store_id,
 * and ";+". Nothing if there's no offset yet. */
void kafka_owners_history(struct buffer *dst, bool has_offset, const void *metadata, size_t len,
                          const char *store_id);

/* Appends the metadata of a commit; of history as much as goes into KAFKA_OWNERS_MAX. */
void kafka_owners_format(struct buffer *dst, const char *store_id, uint64_t n, uint64_t token,
                         const char *history, size_t history_len);

enum kafka_owners_answer {
    KAFKA_COMMIT_THERE,
    KAFKA_COMMIT_NOT_THERE,
    KAFKA_COMMIT_UNKNOWN, /* the metadata is another program's, or doesn't go back far enough */
};
/* Whether the offset's history holds this commit of the store's. */
enum kafka_owners_answer kafka_owners_look(bool has_offset, const void *metadata, size_t len,
                                           const char *store_id, uint64_t token);

#endif
