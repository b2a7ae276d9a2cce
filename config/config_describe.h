/* A configuration in plain words, for `varve check`: what it means, defaults included, secrets as ***. */
#ifndef VARVE_CONFIG_CONFIG_DESCRIBE_H
#define VARVE_CONFIG_CONFIG_DESCRIBE_H

#include "config/config.h"
#include "src/base/buffer.h"

/* Appends lines of text: one block for the store, one for each sink, one each for rejects, HTTP and log. */
void config_describe(const struct config *cfg, struct buffer *dst);

#endif
