/* What a decoder makes of a message, as text to compare. */
#ifndef VARVE_TESTS_UNIT_SINKS_DECODE_DECODE_TEXT_H
#define VARVE_TESTS_UNIT_SINKS_DECODE_DECODE_TEXT_H

#include "sinks/decode/decode.h"

/* One line a sample: "[name|value][name|value] value timestamp", timestamp "none" if there's none; then "bad
 * NUMBER REASON" for each bad line, "nan COUNT" if any were dropped; or "reject REASON" alone. The payload is
 * given to the decoder in memory of exactly its size. */
void decode_text(const char *format, struct span payload, const char *topic, struct buffer *ret);

/* Fails the test unless that's want. */
void expect_decoded(const char *format, struct span payload, const char *topic, const char *want);

#endif
