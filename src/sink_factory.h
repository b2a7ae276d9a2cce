/* From a sink's configuration to a sink: one row a type. */
#ifndef VARVE_SRC_SINK_FACTORY_H
#define VARVE_SRC_SINK_FACTORY_H

#include "config/config.h"
#include "sinks/sink.h"

/* What the brokers' libraries know of their own properties, for config_read_file. */
extern const struct config_hooks sink_factory_config_hooks;

/* Makes a sink of cfg that delivers to intake; nothing is started. ERR_INVALID for what the broker's library
 * refuses. */
int sink_factory_new(struct sink **ret, const struct config *cfg, const struct config_sink *sink_cfg,
                     struct intake *intake, struct error *reterr);

/* Asks a sink's brokers what they have, for `varve check --connect` (struct cmd_check_wiring). */
int sink_factory_connect(const struct config_sink *sink, const char *node, int64_t timeout_ms,
                         struct buffer *found, struct error *reterr);

/* Frees the sink and what it was made with. */
void sink_factory_free(struct sink *sink);

#endif
