/* `varve check`: reads the configuration and says what it means; with --connect, also whether its brokers
 * answer. */
#ifndef VARVE_SRC_CMD_CHECK_H
#define VARVE_SRC_CMD_CHECK_H

#include <stdint.h>

#include "config/config.h"
#include "src/base/buffer.h"
#include "src/base/error.h"

/* What the program gives the command beside the configuration's own code. */
struct cmd_check_wiring {
    const struct config_hooks *hooks;
    /* Reaches each broker of a sink, within timeout_ms, and appends to *found what there is ("3 brokers,
     * topic metrics with 4 partitions"), without a line end. ERR_IO names the broker that doesn't answer.
     * node is the configuration's. NULL: not built in; --connect is then refused and left out of the help. */
    int (*connect)(const struct config_sink *sink, const char *node, int64_t timeout_ms, struct buffer *found,
                   struct error *reterr);
};

/* cmd_check (src/commands.h) with other wiring, for tests. Returns the exit code: EXIT_CLEAN; EXIT_BAD_CONFIG
 * for a configuration with errors or, with --connect, a broker that can't be reached; EXIT_WRONG_USAGE.
 * Writes to stdout and stderr. */
int cmd_check_run(int argc, char **argv, const struct cmd_check_wiring *wiring);

#endif
