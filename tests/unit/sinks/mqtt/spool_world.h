/* A spool in a directory of its own, for test_spool.c and test_spool_faults.c. */
#ifndef VARVE_TESTS_UNIT_SINKS_MQTT_SPOOL_WORLD_H
#define VARVE_TESTS_UNIT_SINKS_MQTT_SPOOL_WORLD_H

#include "sinks/mqtt/spool_reader.h"
#include "tests/unit/sinks/mqtt/faulty_spool_fs.h"

struct spool_world {
    char dir[64];
    struct faulty_spool_fs fs;
    uint64_t max_bytes;
    bool keep_unwritten;
    struct spool *spool;
};

int spool_world_setup(void **state);
int spool_world_teardown(void **state);
void world_open(struct spool_world *w);
void world_close(struct spool_world *w);
/* Appends the payload PREFIXn, padded to size with spaces if that's more. Returns the error. */
int world_append(struct spool_world *w, const char *prefix, unsigned n, size_t size);
void world_commit(struct spool_world *w);
/* Reads everything from lsn on: its payloads have to be PREFIXfirst... in order. Returns how many there are.
 */
unsigned world_read(struct spool_world *w, uint64_t lsn, const char *prefix, unsigned first);
/* Files of the directory that end so; the name of the last one. */
unsigned world_files(struct spool_world *w, const char *suffix, char last[64]);

#endif
