/*
 * Reads a reject log's entries in their order, oldest first (`varve rejects`). Changes nothing and takes no
 * lock: a log that is being written may be read, its last entry or its oldest segments may then be missed.
 * One thread.
 */
#ifndef VARVE_SINKS_REJECT_READER_H
#define VARVE_SINKS_REJECT_READER_H

#include "sinks/reject_log.h"

struct reject_reader;

/* ERR_NOT_FOUND if dir isn't there. */
int reject_reader_open(const char *dir, struct reject_reader **ret, struct error *reterr);
/* reader may be NULL. */
void reject_reader_close(struct reject_reader *reader);

/* Leaves out whole segments before that logical offset; before the first reject_reader_next. */
void reject_reader_seek(struct reject_reader *reader, uint64_t offset);

/* 1 and the next entry, whose spans live until the next call; 0 at the end. A damaged segment is skipped from
 * the damage on, and counted. Fails only if a file can't be read. */
int reject_reader_next(struct reject_reader *reader, struct reject_entry *ret, struct error *reterr);

/* Logical offset (reject_log.h) behind the entry that was returned last. */
uint64_t reject_reader_offset(const struct reject_reader *reader);

/* Segments with damage met so far. */
uint64_t reject_reader_damaged(const struct reject_reader *reader);

#endif
