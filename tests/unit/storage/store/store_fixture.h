/* What the tests of the store share: rows in, rows out. */
#ifndef VARVE_TESTS_STORE_FIXTURE_H
#define VARVE_TESTS_STORE_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/search/search.h"
#include "storage/storage.h"

/* 2026-10-31T23:59:00Z: a minute before a month ends; the fake clock of the tests stands at three days later.
 */
#define T0     INT64_C(1793491140000)
#define NOW_MS (T0 + 3 * INT64_C(86400000))

struct storage *open_store(const char *dir, const struct fs *fs, const struct storage_hooks *hooks);

/* Hands over [n, n + 1) of source "src" with one row for each of `series` series: series k has value n * 1000
 * + k at T0 + n seconds. */
void put_message(struct storage_writer *w, uint64_t n, unsigned series);
/* The same for n in [from, to). */
void put_messages(struct storage_writer *w, uint64_t from, uint64_t to, unsigned series);

/* Checks that the reader shows exactly the rows of messages [0, messages), each once; takes over r. */
void expect_messages(struct reader *r, uint64_t messages, unsigned series);
/* The same of a directory in which no store is open. */
void expect_messages_in(const char *dir, uint64_t messages, unsigned series);
/* How many messages it shows; each must be there whole and once. Takes over r. */
uint64_t count_messages(struct reader *r, unsigned series);
/* Position of "src", 0 if there's none. */
uint64_t position_of(struct storage *st);
uint64_t durable_position_of(struct storage *st);

/* Zeroed memory that a child forked later shares; to be unmapped. */
void *map_shared(size_t size);
/* Does run in a child, with a file system at whose operation `at` it exits; true if it came to its end
 * instead.
 */
bool run_in_child(const char *dir, long at, void (*run)(const char *dir, const struct fs *fs, void *context),
                  void *context);

#endif
