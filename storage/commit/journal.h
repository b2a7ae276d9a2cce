/*
 * The redo journal: commit records since the checkpoint, appended and synced one by one. The append's sync is
 * the commit point of everything (architecture 3).
 *
 * File, little endian, preallocated so that an append seldom needs space:
 *   00-07  "VARVEJ01"
 *   08-23  store id
 *   24-31  n of the checkpoint that it follows
 *   32-35  CRC32C of bytes 00-31; 36-63 zero
 *   then records, each at a multiple of 8:
 *     u32 magic, u32 payload size, u32 CRC32C of size and payload, u32 zero, payload, zeros up to a multiple
 * of 8 then zeros.
 *
 * A reader stops at the first place without a valid record. If a valid one follows further on, the journal is
 * damaged, not torn: a torn append can only be the last.
 * One thread (the committer) at a time.
 */
#ifndef VARVE_STORAGE_COMMIT_JOURNAL_H
#define VARVE_STORAGE_COMMIT_JOURNAL_H

#include "src/base/buffer.h"
#include "src/base/error.h"
#include "storage/commit/commit_record.h"
#include "storage/fs/fs.h"

#define STORE_ID_BYTES           16
#define JOURNAL_SIZE_MIN         (UINT64_C(1) << 20)
#define JOURNAL_RECORD_BYTES_MAX (UINT64_C(64) << 20)

struct journal {
    const struct fs *fs;
    char *path;
    int fd; /* -1: closed */
    uint8_t store_id[STORE_ID_BYTES];
    uint64_t base_n;
    uint64_t capacity;     /* preallocated length of the file */
    bool must_replace;     /* the file at path may be another than fd's: the next append writes a fresh one */
    bool fate_open;        /* a record whose append failed may be found at path: see journal_settle */
    struct buffer content; /* the valid bytes of the file, for a rewrite when an append's fate is open */
    size_t last_offset;    /* of the record appended last */
};

/* Writes a fresh, empty journal in place of whatever is there (tmp, sync, rename, sync of the directory) and
 * opens it. */
int journal_create(struct journal *j, const struct fs *fs, const char *path,
                   const uint8_t store_id[STORE_ID_BYTES], uint64_t base_n, struct error *reterr);

/* Appends one record and makes it durable. On failure the file is replaced by a fresh one without the record,
 * so that its fate isn't open: then the error of the append is returned. When that fails too, j->fate_open is
 * set: a crash may find the record or not, so what it names must stay where it is. ERR_FULL then asks for
 * journal_settle before anything else; after any other error the process must end. */
int journal_append(struct journal *j, const struct commit_record *record, struct error *reterr);

/* Takes the record that was appended last back, before anybody was told of it: the file is replaced by one
 * without it. On failure as journal_append. */
int journal_withdraw(struct journal *j, struct error *reterr);

/* Replaces the file by one without the record whose fate is open. ERR_FULL: it's still open, try again; after
 * any other error the process must end. */
int journal_settle(struct journal *j, struct error *reterr);

/* Whether it has grown enough that the owner should fold it into a checkpoint. */
bool journal_wants_fold(const struct journal *j);

/* Closes the file, if open, and releases the struct. */
void journal_release(struct journal *j);

struct journal_records {
    struct commit_record *records;
    size_t count, capacity;
    struct buffer valid; /* header and valid records, byte for byte */
};
void journal_records_release(struct journal_records *records);

/* Parses a journal's bytes. ERR_CORRUPT when it's not one, of another store, or damaged in the middle. */
int journal_parse(struct journal_records *ret, const uint8_t *data, size_t size,
                  const uint8_t store_id[STORE_ID_BYTES], struct error *reterr);
/* The same for a file; ERR_NOT_FOUND if there's none. */
int journal_read(struct journal_records *ret, const char *path, const uint8_t store_id[STORE_ID_BYTES],
                 struct error *reterr);
/* Writes the valid bytes to a fresh file in place of path: the page cache may show records that never reached
 * the disk. */
int journal_rewrite(const struct journal_records *records, const struct fs *fs, const char *path,
                    struct error *reterr);

#endif
