/* Prometheus remote write 1.0: the row "prometheus_remote_write" of the decoder table (decode.h). What it
 * means: remote_write.c. */
#ifndef VARVE_SINKS_DECODE_REMOTE_WRITE_H
#define VARVE_SINKS_DECODE_REMOTE_WRITE_H

#include "sinks/decode/decode.h"

/* A snappy block may hold that much; stock's -maxInsertRequestSize is half of it. */
#define REMOTE_WRITE_MAX ((size_t)64 << 20)

/* Keys of groups are a series' label fields one after another, in batch->scratch. */
enum decode_result remote_write_decode(const struct decode_options *options, const struct message *m,
                                       struct sample_batch *batch, const char **ret_reason);

/* Clears *ret_labels first. Its spans point into key: they live as long. Of a key that decode made it never
 * fails. */
int remote_write_labels(const struct decode_options *options, struct span key, struct span field,
                        struct label_list *ret_labels, const char **ret_reason);

#endif
