/*
 * A store in memory that remembers what it was given, in place of storage.h: link it instead of
 * varve_storage. One thread, except storage_flush and the position functions.
 */
#ifndef VARVE_TESTS_DOUBLES_FAKE_STORAGE_H
#define VARVE_TESTS_DOUBLES_FAKE_STORAGE_H

#include "storage/storage.h"

struct fake_row {
    uint32_t series;
    int64_t timestamp_ms;
    struct decimal value;
};

struct fake_position {
    char key[64];
    uint32_t key_len;
    struct storage_position position, durable;
    bool is_durable;
};

struct storage {
    struct fake_row *rows;
    size_t rows_count, rows_capacity;
    char **series; /* "name=value;name=value;" by handle */
    size_t series_count, series_capacity;
    struct fake_position positions[16];
    size_t positions_count;
    int64_t min_ms, max_ms;
    uint64_t commit_number;
    size_t series_calls, day_calls; /* of storage_writer_series and storage_writer_register_day */
    int flush_result;
    uint64_t series_generation;
    const char *refuse_value; /* a label value that is refused */
    bool name_is_apart;       /* storage_writer_set_name_apart was called */
    bool keep_rows;           /* else they are only counted */
};

void fake_storage_init(struct storage *st);
void fake_storage_release(struct storage *st);

#endif
