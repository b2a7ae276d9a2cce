#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "src/commands.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage, *text;
} commands[] = {
    {"serve", cmd_serve, "serve [-c FILE]", "the service, in the foreground"},
    {"check", cmd_check, "check [-c FILE]", "reads the configuration and says what it means"},
    {"inspect", cmd_inspect, "inspect DIR [--json] [PART]", "months, parts, rows, bytes a sample, positions"},
    {"export", cmd_export, "export DIR [SELECTOR] [--start T --end T]", "rows as JSON lines"},
    {"verify", cmd_verify, "verify DIR", "checks every file, block and index row"},
    {"merge", cmd_merge, "merge DIR|URL [YYYY_MM]", "forced merge: one part a month"},
    {"recover", cmd_recover, "recover DIR", "finishes an unclean stop"},
    {"offsets", cmd_offsets, "offsets show|reset DIR ...", "positions of a stopped store"},
    {"rejects", cmd_rejects, "rejects list|replay DIR ...", "what couldn't be decoded"},
    {"version", cmd_version, "version", "versions, what is built in and what isn't"},
};
enum { COMMANDS_COUNT = sizeof commands / sizeof commands[0] };

static void print_commands(FILE *dst)
{
    fputs("Usage: varve COMMAND ...\n\n", dst);
    for (size_t i = 0; i < COMMANDS_COUNT; i++)
        fprintf(dst, "  %-42s %s\n", commands[i].usage, commands[i].text);
    fputs("\n`varve COMMAND -h` says more. FILE defaults to " CONFIG_PATH_DEFAULT ".\n", dst);
}

int main(int argc, char **argv)
{
    /* Files are 0640 and directories 0750, whatever the shell or the unit has: group varve may read (a
     * backup), nobody else. */
    (void)umask(0027);
    if (argc < 2) {
        print_commands(stderr);
        return EXIT_WRONG_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "help") == 0) {
        print_commands(stdout);
        return EXIT_CLEAN;
    }
    if (strcmp(name, "--version") == 0) {
        static char version[] = "version";
        argv[1] = version;
    }
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    fprintf(stderr, "varve: unknown command %s; there are:", name);
    for (size_t i = 0; i < COMMANDS_COUNT; i++)
        fprintf(stderr, " %s", commands[i].name);
    fputs("\n", stderr);
    return EXIT_WRONG_USAGE;
}
