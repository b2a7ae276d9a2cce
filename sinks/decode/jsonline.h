/* VictoriaMetrics' JSON lines: the row "jsonline" of the decoder table (decode.h). What it means: jsonline.c.
 */
#ifndef VARVE_SINKS_DECODE_JSONLINE_H
#define VARVE_SINKS_DECODE_JSONLINE_H

#include "sinks/decode/decode.h"

/* Keys of groups are the bytes of a line's "metric" object, braces included. */
enum decode_result jsonline_decode(const struct decode_options *options, const struct message *m,
                                   struct sample_batch *batch, const char **ret_reason);

/* Clears *ret_labels first. Its spans point into key and ret_labels->scratch. Of a key that decode made it
 * never fails. */
int jsonline_labels(const struct decode_options *options, struct span key, struct span field,
                    struct label_list *ret_labels, const char **ret_reason);

#endif
