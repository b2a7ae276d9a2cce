#include <stdio.h>

#include "src/commands.h"
#include "storage/storage.h"

static const char help[] =
    "Usage: varve recover DIR\n"
    "\n"
    "Finishes an unclean stop of the store in DIR without starting the service, so that a stock\n"
    "VictoriaMetrics opens it. Nothing happens to a store that was stopped cleanly.\n"
    "\n"
    "Exit status: 0, 2 if it can't be done, 64 for wrong usage.\n";

int cmd_recover(int argc, char **argv)
{
    int exit_code;
    struct error error;
    if (!command_positions(argc, argv, 1, 1, help, &exit_code))
        return exit_code;
    if (storage_recover(argv[1], &error) < 0)
        return command_failed(argv[0], &error);
    return EXIT_CLEAN;
}
