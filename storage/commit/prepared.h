/*
 * The prepared commit: what is staged and waits for somebody else's verdict (storage.h: hooks.verdict), in a
 * place that a crash leaves alone. One at a time; the file is written over, each time in one write and one
 * sync, so that what it holds is the last prepared commit, or, torn, nothing.
 *
 * It binds nobody: only the journal's record makes a commit. One whose number isn't above that of the last
 * record was decided; so was one that was struck out.
 *
 * Little endian: "VARVEP01", 16 bytes store id, u64 token, u32 size of the record, the record as in the
 * journal (commit_record.h), u32 CRC32C of all before it; what follows is left over from a longer one.
 */
#ifndef VARVE_STORAGE_COMMIT_PREPARED_H
#define VARVE_STORAGE_COMMIT_PREPARED_H

#include "storage/commit/journal.h"

struct prepared_record {
    uint64_t token; /* random: tells it from any other commit of that number */
    struct commit_record record;
};

void prepared_record_release(struct prepared_record *p);

/* Fills a zeroed record from the bytes of a file. False for anything that isn't a whole one of this store's.
 */
bool prepared_parse(struct prepared_record *p, const uint8_t *data, size_t size,
                    const uint8_t store_id[STORE_ID_BYTES]);
/* The same for a file. *ret_found is false also if there's none. Errors are those of reading. */
int prepared_read(struct prepared_record *p, const char *path, const uint8_t store_id[STORE_ID_BYTES],
                  bool *ret_found, struct error *reterr);

/* Where it's written. A zeroed one with fs and path set is ready; the owner's thread. */
struct prepared_file {
    const struct fs *fs;
    char *path;
    int fd; /* -1: not opened yet */
};

/* Writes and syncs; makes the file, durably, if it's the first. After a failure it may be found or not. */
int prepared_write(struct prepared_file *f, const struct prepared_record *p,
                   const uint8_t store_id[STORE_ID_BYTES], struct error *reterr);
/* Strikes out what is there, durably. */
int prepared_strike_out(struct prepared_file *f, struct error *reterr);
void prepared_file_release(struct prepared_file *f);

#endif
