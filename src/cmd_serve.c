#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "config/config.h"
#include "src/commands.h"
#include "src/daemon.h"
#include "src/sink_factory.h"

static const char help[] =
    "Usage: varve serve [-c FILE]\n"
    "\n"
    "Runs the service in the foreground until SIGTERM or SIGINT.\n"
    "\n"
    "  -c, --config FILE   the configuration (default " CONFIG_PATH_DEFAULT ")\n"
    "  -h, --help          this text\n"
    "\n"
    "Exit status: 0 after a clean stop, 1 for a configuration with errors, 2 if the store\n"
    "can't be opened or is damaged, 3 after a fatal error later, 64 for wrong usage.\n";

/* Large buffers (in-memory parts, index rows) come and go every second, from several threads. Left to itself
 * glibc keeps their memory in an arena per thread: measured, twice the resident memory. Mapped, they go back
 * as soon as they're freed. */
static void bound_malloc(void)
{
    (void)mallopt(M_ARENA_MAX, 4);
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 4 << 20);
}

/* A core dump, /proc/PID/mem and a debugger of the same user would show the brokers' passwords. Dumps are for
 * those who ask for them: with a core limit other than 0 (`ulimit -c`, LimitCORE= in the unit) all is as
 * usual. The limit alone doesn't keep a dump from a handler to which the kernel pipes it. */
static void forbid_dumps(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0)
        (void)prctl(PR_SET_DUMPABLE, 0);
}

int cmd_serve(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *path = CONFIG_PATH_DEFAULT;
    optind = 0;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (c) {
        case 'c':
            path = optarg;
            break;
        case 'h':
            fputs(help, stdout);
            return EXIT_CLEAN;
        default:
            return command_wrong_usage(argv[0], NULL);
        }
    }
    if (optind < argc)
        return command_wrong_usage(argv[0], "it takes no arguments");

    forbid_dumps();
    struct config *cfg;
    struct config_errors errors = {0};
    int r = config_read_file(&cfg, path, &sink_factory_config_hooks, &errors);
    config_errors_print(&errors, stderr);
    config_errors_release(&errors);
    if (r < 0)
        return EXIT_BAD_CONFIG;
    config_wipe_environment(cfg);
    bound_malloc();
    int exit_code = daemon_run(cfg);
    config_free(cfg);
    return exit_code;
}
