/*
 * The subcommands, one file each (cmd_<name>.c). Each takes its own arguments, argv[0] being its name, and
 * returns the exit code of the program; errors go to stderr as one line that says what to do.
 */
#ifndef VARVE_SRC_COMMANDS_H
#define VARVE_SRC_COMMANDS_H

#include "src/base/error.h"

enum {
    EXIT_CLEAN = 0,
    EXIT_BAD_CONFIG = 1,
    EXIT_NO_STORE = 2, /* or a damaged one */
    EXIT_FATAL = 3,
    EXIT_WRONG_USAGE = 64,
};

#define CONFIG_PATH_DEFAULT "/etc/varve/varve.yaml"

int cmd_serve(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_merge(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_offsets(int argc, char **argv);
int cmd_recover(int argc, char **argv);
int cmd_rejects(int argc, char **argv);
int cmd_version(int argc, char **argv);

/* "varve NAME: wrong usage: ..., see `varve NAME -h`" to stderr; EXIT_WRONG_USAGE. detail may be NULL. */
int command_wrong_usage(const char *name, const char *detail);
/* "varve NAME: message" to stderr; EXIT_NO_STORE. */
int command_failed(const char *name, const struct error *error);
/* Flushes stdout; EXIT_CLEAN, or EXIT_NO_STORE with a line on stderr if it can't be written. */
int command_end_output(const char *name);
/* For commands that take -h and between min and max other arguments, which are moved to argv[1]... Returns
 * the new argc; or 0, with *ret_exit the exit code, if help was printed or the usage was wrong. */
int command_positions(int argc, char **argv, int min, int max, const char *help, int *ret_exit);

#endif
