#include "src/commands.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

int command_wrong_usage(const char *name, const char *detail)
{
    fprintf(stderr, "varve %s: %s; see `varve %s -h`\n", name, detail ? detail : "wrong usage", name);
    return EXIT_WRONG_USAGE;
}

int command_failed(const char *name, const struct error *error)
{
    fprintf(stderr, "varve %s: %s\n", name, error->message);
    return EXIT_NO_STORE;
}

int command_end_output(const char *name)
{
    if (fflush(stdout) == 0)
        return EXIT_CLEAN;
    fprintf(stderr, "varve %s: can't write the output: %s\n", name, strerror(errno));
    return EXIT_NO_STORE;
}

int command_positions(int argc, char **argv, int min, int max, const char *help, int *ret_exit)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    optind = 0;
    opterr = 0;
    int c = getopt_long(argc, argv, "h", options, NULL);
    if (c == 'h') {
        fputs(help, stdout);
        *ret_exit = EXIT_CLEAN;
        return 0;
    }
    int count = argc - optind;
    if (c != -1 || count < min || count > max) {
        *ret_exit = command_wrong_usage(argv[0], c != -1 ? "unknown option" : "wrong number of arguments");
        return 0;
    }
    for (int i = 0; i < count; i++)
        argv[1 + i] = argv[optind + i];
    return 1 + count;
}
