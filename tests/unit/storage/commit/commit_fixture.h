/* What the tests of the commit share: records and directories with a known content. */
#ifndef VARVE_TESTS_COMMIT_FIXTURE_H
#define VARVE_TESTS_COMMIT_FIXTURE_H

#include <stdbool.h>

#include "storage/commit/checkpoint.h"
#include "storage/commit/journal.h"

#define MONTH "2026_10"

extern const uint8_t store_id[STORE_ID_BYTES];
extern const uint8_t other_id[STORE_ID_BYTES];

/* Sets key to {next, mark of mark_len bytes that count up from next}. */
void set_position(struct position_table *table, const char *key, uint64_t next, uint8_t mark_len);
void assert_same_positions(const struct position_table *a, const struct position_table *b);

/* A zeroed record becomes commit n, with everything up to `published` published and position n of "src". */
void fill_record(struct commit_record *record, uint64_t n, uint64_t published);
void assert_same_record(const struct commit_record *a, const struct commit_record *b);
/* Appends commit n as fill_record makes it, with the small part of this name if it isn't NULL. */
void append_commit(struct journal *j, uint64_t n, uint64_t published, const char *part);

/* ROOT/path of a printf-like path: a directory with all that lead to it, or a file with this text. */
void make_dir(const char *root, const char *path);
void make_file(const char *root, const char *path, const char *text);
bool exists(const char *root, const char *path);
void assert_text(const char *root, const char *path, const char *text);

#endif
