/* The Influx line protocol decoder: the row "influx" of the decoder table (decode.h). What it means:
 * influx.c. */
#ifndef VARVE_SINKS_DECODE_INFLUX_H
#define VARVE_SINKS_DECODE_INFLUX_H

#include "sinks/decode/decode.h"

enum decode_result influx_decode(const struct decode_options *options, struct span payload,
                                 struct sample_batch *batch, const char **ret_reason);

/* Clears *ret_labels first. Its spans point into key, field and ret_labels->scratch: they live until the
 * first of these changes. */
int influx_labels(struct span key, struct span field, struct label_list *ret_labels, const char **ret_reason);

#endif
