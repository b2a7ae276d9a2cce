/*
 * What powercut's writer puts into a store and its checker looks for: messages of one source, numbered from
 * 0.
 *
 * Message n has a row in each of MESSAGE_SERIES series that are there from the start, and one in a series
 * that only MESSAGES_PER_LATE_SERIES messages share, so that commits add to the index all the time. Its rows
 * lie before the end of a month if n is even, and behind it if n is odd: almost every commit is one over two
 * months.
 */
#ifndef VARVE_TESTS_POWERCUT_MESSAGES_H
#define VARVE_TESTS_POWERCUT_MESSAGES_H

#include <stdint.h>

#include "storage/search/search.h"
#include "storage/storage.h"

#define MESSAGE_SERIES           3
#define MESSAGES_PER_LATE_SERIES 40
#define MESSAGE_SOURCE           "src"
/* More sources, that only make commit records long: the journal is folded every few dozen commits. Each moves
 * with the last message of a batch. */
#define PADDING_SOURCES   40
#define PADDING_KEY_BYTES 200

/* The options that both programs open the store with; commits are made only when asked for. */
struct storage_options message_store_options(const char *dir);

/* Hands over messages [from, to) and moves the padding sources from `from` to `to`. Ends the program if the
 * store refuses. */
void put_messages(struct storage_writer *w, uint64_t from, uint64_t to);

/* The source's position in a table of a store: 0 if there's none. The padding sources must have the same.
 * ERR_CORRUPT if not. */
int position_in_table(const struct position_table *table, uint64_t *ret, struct error *reterr);

/* Checks that the reader shows the rows of messages [0, messages), each once, and nothing else; takes over r.
 * ERR_CORRUPT says what is different. */
int check_messages(struct reader *r, uint64_t messages, struct error *reterr);

#endif
