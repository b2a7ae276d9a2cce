#include <inttypes.h>
#include <stdio.h>

#include "src/commands.h"
#include "storage/search/inspect.h"

static const char help[] =
    "Usage: varve verify DIR\n"
    "\n"
    "Checks every file of the store or snapshot in DIR against its checksums, and decodes every\n"
    "block and index row. Changes nothing; the store must not be running.\n"
    "\n"
    "Exit status: 0 if all is whole, 2 if something is damaged (it's named) or can't be read,\n"
    "64 for wrong usage.\n";

static void on_damaged(void *context, const char *part_dir, const struct error *error)
{
    fprintf(stderr, "varve %s: damaged: %s: %s\n", (const char *)context, part_dir, error->message);
}

int cmd_verify(int argc, char **argv)
{
    int exit_code;
    struct error error;
    uint64_t parts;
    if (!command_positions(argc, argv, 1, 1, help, &exit_code))
        return exit_code;
    int damaged = store_verify(argv[1], on_damaged, argv[0], &parts, &error);
    if (damaged < 0)
        return command_failed(argv[0], &error);
    printf("%" PRIu64 " parts read, %d damaged\n", parts, damaged);
    exit_code = command_end_output(argv[0]);
    return damaged ? EXIT_NO_STORE : exit_code;
}
