/* What the configuration says of a source's messages, compiled: its labels, and for JSON its mapping. */
#ifndef VARVE_SRC_SOURCE_MEANING_H
#define VARVE_SRC_SOURCE_MEANING_H

#include "config/config.h"
#include "sinks/decode/json_mapping.h"
#include "sinks/label_set.h"

struct source_meaning {
    struct label_set *labels;  /* NULL for none */
    struct json_mapping *json; /* NULL for other formats */
};

/* ERR_INVALID names the key. Release with source_meaning_release. */
int source_meaning_compile(struct source_meaning *ret, enum config_sink_type type, const char *format,
                           const struct config_labels *labels, const struct config_json *json,
                           size_t captures_max, struct error *reterr);
/* A zeroed one is fine. */
void source_meaning_release(struct source_meaning *meaning);

/* The hooks of struct config_hooks. */
int source_meaning_check_label(enum config_sink_type type, const struct config_label *label,
                               size_t captures_max, struct error *reterr);
int source_meaning_check_json(const struct config_json *json, size_t captures_max, const char **ret_key,
                              struct error *reterr);

#endif
