/* What tests of blocks and parts share: a temporary directory, and parts made of a few rows. */
#ifndef VARVE_TESTS_PART_FIXTURE_H
#define VARVE_TESTS_PART_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/error.h"
#include "storage/block/block_merge.h"
#include "storage/part/file_part.h"
#include "storage/part/inmemory_part.h"

/* cmocka setup and teardown: *state is the path of a fresh directory. */
int temp_dir_setup(void **state);
int temp_dir_teardown(void **state);
/* dir/name; the string lives until the next but 15 calls. */
const char *path_in(void **state, const char *name);

/* A sample of series `series`, 0 <= series < FIXTURE_SERIES; its TSID is fixture_tsid(series), ascending with
 * it. */
#define FIXTURE_SERIES 2000
struct sample_row {
    uint32_t series;
    int64_t timestamp;
    int64_t mantissa;
    int16_t exponent;
};
struct tsid fixture_tsid(uint32_t series);

/* Rows through one shard. */
struct inmemory_part *fixture_inmemory(const struct sample_row *rows, size_t n);
/* The same written to the directory dir and opened. */
struct file_part *fixture_file(const char *dir, const struct sample_row *rows, size_t n);

/* Merges parts into dir; what merge_block_streams returns. */
int fixture_merge(const char *dir, struct file_part *const *parts, size_t n,
                  const struct merge_options *options, struct part_header *ret_ph, struct error *reterr);

/* All rows of a part, in its order; the caller frees them. */
struct sample_row *fixture_rows(const struct file_part *part, size_t *ret_n);

#endif
