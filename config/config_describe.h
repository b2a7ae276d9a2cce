/* A configuration in plain words, for `varve check`: what it means, defaults included, secrets as ***. */
#ifndef VARVE_CONFIG_CONFIG_DESCRIBE_H
#define VARVE_CONFIG_CONFIG_DESCRIBE_H

#include "config/config.h"
#include "src/base/buffer.h"

/* Appends lines of text: one block for the store, one for each sink, one each for rejects, HTTP and log. */
void config_describe(const struct config *cfg, struct buffer *dst);

/* ---- shared by the two files of this ---- */

/* Two columns: the key as the file has it, and what it means. */
void config_describe_line(struct buffer *dst, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void config_describe_sink(const struct config *cfg, const struct config_sink *sink, struct buffer *dst);

#endif
