#include "src/cmd_check.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "config/config_describe.h"
#include "src/commands.h"
#include "src/sink_factory.h"

#define CONNECT_TIMEOUT_MS 10000

static void print_help(const struct cmd_check_wiring *wiring)
{
    const char *connect_usage = wiring->connect ? " [--connect]" : "";
    const char *connect_line = wiring->connect ? "      --connect       also reach each broker\n" : "";
    printf("Usage: varve check [-c FILE]%s\n"
           "\n"
           "Reads the configuration and says what it means.\n"
           "\n"
           "  -c, --config FILE   the configuration (default " CONFIG_PATH_DEFAULT ")\n"
           "%s"
           "  -h, --help          this text\n"
           "\n"
           "Exit status: 0 if all is well, 1 if not, 64 for wrong usage.\n",
           connect_usage, connect_line);
}

/* One line a sink; goes on after a failure. */
static int connect_sinks(const struct config *cfg, const struct cmd_check_wiring *wiring)
{
    int result = EXIT_CLEAN;
    if (cfg->sinks_count)
        fputs("\nconnections\n", stdout);
    for (size_t i = 0; i < cfg->sinks_count; i++) {
        const struct config_sink *sink = &cfg->sinks[i];
        const char *name = config_shown(cfg, sink->name);
        struct buffer found = {0};
        struct error err = {0};
        if (wiring->connect(sink, cfg->node, CONNECT_TIMEOUT_MS, &found, &err) == 0) {
            printf("  %-19s %s\n", name, buffer_cstr(&found));
        } else {
            fprintf(stderr, "varve check: sink %s: %s\n", name, err.message);
            result = EXIT_BAD_CONFIG;
        }
        buffer_release(&found);
    }
    return result;
}

static int check(const char *path, bool connect, const struct cmd_check_wiring *wiring)
{
    struct config *cfg = NULL;
    struct config_errors errors = {0};
    if (config_read_file(&cfg, path, wiring->hooks, &errors) < 0) {
        config_errors_print(&errors, stderr);
        config_errors_release(&errors);
        return EXIT_BAD_CONFIG;
    }
    struct buffer text = {0};
    config_describe(cfg, &text);
    fwrite(text.data, 1, text.len, stdout);
    buffer_release(&text);
    int result = connect ? connect_sinks(cfg, wiring) : EXIT_CLEAN;
    config_free(cfg);
    return command_end_output("check") == EXIT_CLEAN ? result : EXIT_BAD_CONFIG;
}

int cmd_check_run(int argc, char **argv, const struct cmd_check_wiring *wiring)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"connect", no_argument, NULL, 'C'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const char *path = CONFIG_PATH_DEFAULT;
    bool connect = false;
    optind = 0; /* glibc: begin anew */
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (c) {
        case 'c':
            path = optarg;
            break;
        case 'C':
            connect = true;
            break;
        case 'h':
            print_help(wiring);
            return EXIT_CLEAN;
        default:
            return command_wrong_usage("check", "an unknown option, or -c without its file");
        }
    }
    if (optind < argc)
        return command_wrong_usage("check", "an argument too many");
    if (connect && !wiring->connect)
        return command_wrong_usage("check", "--connect is not built yet in this version");
    return check(path, connect, wiring);
}

int cmd_check(int argc, char **argv)
{
    static const struct cmd_check_wiring wiring = {.hooks = &sink_factory_config_hooks,
                                                   .connect = sink_factory_connect};
    return cmd_check_run(argc, argv, &wiring);
}
