/*
 * A bare number as a message, named by the topic: the row "value" of the decoder table (decode.h).
 *
 *   plant/line1/temperature  <-  "21.5"     temperature 21.5
 *
 * - The payload is one number as JSON lines have it (number_parse_strict of number.h, so also inf and -5e-3),
 * or true, false, on, off in any case, which are 1 and 0; white space around it (space, tab, CR, LF) and
 * zeros after it (C strings that were sent whole) don't matter. Anything else, and nothing, rejects the
 * message
 * ("not_a_number"); NaN is dropped and counted.
 * - The series' name (__name__) is the topic's last level that isn't empty; "value" if there's none. As it
 * stands: names in VictoriaMetrics may hold any byte. What else of the topic is to tell series apart,
 * `labels:` says ($1, $topic): two topics with the same last level are one series without it.
 * - There's no time in the payload: samples carry TIMESTAMP_NONE, and so get the record's.
 *
 * Keys of groups are topics.
 */
#ifndef VARVE_SINKS_DECODE_VALUE_H
#define VARVE_SINKS_DECODE_VALUE_H

#include "sinks/decode/decode.h"

enum decode_result value_decode(const struct decode_options *options, const struct message *m,
                                struct sample_batch *batch, const char **ret_reason);

/* Clears *ret_labels first. Its spans point into key. Never fails. */
int value_labels(const struct decode_options *options, struct span key, struct span field,
                 struct label_list *ret_labels, const char **ret_reason);

#endif
