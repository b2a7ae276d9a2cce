/* The free-form JSON decoder: the row "json" of the decoder table (decode.h), which reads documents by a
 * struct json_mapping. What it means: json.c. */
#ifndef VARVE_SINKS_DECODE_JSON_H
#define VARVE_SINKS_DECODE_JSON_H

#include "sinks/decode/decode.h"

/* options->json must be set. */
enum decode_result json_decode(const struct decode_options *options, const struct message *m,
                               struct sample_batch *batch, const char **ret_reason);
/* Clears *ret_labels first; like influx_labels. */
int json_labels(const struct decode_options *options, struct span key, struct span field,
                struct label_list *ret_labels, const char **ret_reason);

/* Whether one reading of a document is read alike when it's a document of its own. */
bool json_item_stands_alone(const struct decode_options *options);

#endif
