#include "src/cmd_check.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "config/config_describe.h"
#include "sinks/kafka/kafka_sink.h"

#define CONFIG_PATH_DEFAULT "/etc/varve/varve.yaml"
#define CONNECT_TIMEOUT_MS  10000

enum { EXIT_OK = 0, EXIT_BAD = 1, EXIT_WRONG_USAGE = 64 };

static void print_help(FILE *dst, const struct cmd_check_wiring *wiring)
{
    fputs("Usage: varve check [-c FILE]", dst);
    if (wiring->kafka_connect)
        fputs(" [--connect]", dst);
    fputs("\n\nReads the configuration and says what it means.\n\n"
          "  -c, --config FILE   the configuration (default " CONFIG_PATH_DEFAULT ")\n",
          dst);
    if (wiring->kafka_connect)
        fputs("      --connect       also reach each broker\n", dst);
    fputs("  -h, --help          this text\n\n"
          "Exit status: 0 if all is well, 1 if not, 64 for wrong usage.\n",
          dst);
}

static int wrong_usage(void)
{
    fputs("varve check: see `varve check -h`\n", stderr);
    return EXIT_WRONG_USAGE;
}

/* One line a sink; goes on after a failure. */
static int connect_sinks(const struct config *cfg, const struct cmd_check_wiring *wiring)
{
    int result = EXIT_OK;
    if (cfg->sinks_count)
        fputs("\nconnections\n", stdout);
    for (size_t i = 0; i < cfg->sinks_count; i++) {
        const struct config_sink *sink = &cfg->sinks[i];
        const char *name = config_shown(cfg, sink->name);
        struct buffer found = {0};
        struct error err = {0};
        if (wiring->kafka_connect(sink, cfg->node, CONNECT_TIMEOUT_MS, &found, &err) == 0) {
            printf("  %-19s %s\n", name, buffer_cstr(&found));
        } else {
            fprintf(stderr, "sink %s: %s\n", name, err.message);
            result = EXIT_BAD;
        }
        buffer_release(&found);
    }
    return result;
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
    optind = 0; /* glibc: begin anew, for a caller that has scanned arguments already */
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (c) {
        case 'c':
            path = optarg;
            break;
        case 'C':
            connect = true;
            break;
        case 'h':
            print_help(stdout, wiring);
            return EXIT_OK;
        default:
            return wrong_usage();
        }
    }
    if (optind < argc) {
        fprintf(stderr, "varve check: unexpected argument %s\n", argv[optind]);
        return wrong_usage();
    }
    if (connect && !wiring->kafka_connect) {
        fputs("varve check: --connect is not built yet in this version\n", stderr);
        return wrong_usage();
    }

    struct config *cfg = NULL;
    struct config_errors errors = {0};
    if (config_read_file(&cfg, path, &wiring->hooks, &errors) < 0) {
        config_errors_print(&errors, stderr);
        config_errors_release(&errors);
        return EXIT_BAD;
    }
    struct buffer text = {0};
    config_describe(cfg, &text);
    fwrite(text.data, 1, text.len, stdout);
    buffer_release(&text);
    int result = connect ? connect_sinks(cfg, wiring) : EXIT_OK;
    config_free(cfg);
    if (fflush(stdout) != 0) {
        perror("varve check: stdout");
        return EXIT_BAD;
    }
    return result;
}

int cmd_check(int argc, char **argv)
{
    static const struct cmd_check_wiring wiring = {
        .hooks = {.kafka_property_owned = kafka_property_owned, .kafka_property_check = kafka_property_check},
    };
    return cmd_check_run(argc, argv, &wiring);
}
