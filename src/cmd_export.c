#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "src/base/clock.h"
#include "src/commands.h"
#include "src/query.h"
#include "src/time_arg.h"
#include "storage/search/search.h"

static const char help[] =
    "Usage: varve export DIR [SELECTOR] [--start TIME] [--end TIME]\n"
    "\n"
    "Prints the rows of the store or snapshot in DIR as JSON lines, in the form of VictoriaMetrics'\n"
    "/api/v1/export. Changes nothing; the store must not be running (ask /api/v1/export then).\n"
    "\n"
    "  SELECTOR       which series, as in PromQL: 'cpu_load{host=~\"a.*\"}'; all if there's none\n"
    "  --start TIME   Unix seconds or milliseconds, RFC 3339, or a distance from now (-1h)\n"
    "  --end TIME     likewise; the end itself belongs to the range\n"
    "  -h, --help     this text\n"
    "\n"
    "Exit status: 0, 2 if the store can't be read, 64 for wrong usage.\n";

static int write_out(void *context, const void *data, size_t size, struct error *reterr)
{
    (void)context;
    if (fwrite(data, 1, size, stdout) != size)
        return error_set_errno(reterr, errno, "can't write the output");
    return 0;
}

static int run(const char *dir, const struct query *q, struct error *reterr)
{
    struct reader *r;
    int result = reader_open_dir(&r, dir, reterr);
    if (result < 0)
        return result;
    result = query_run(r, q, write_out, NULL, reterr);
    reader_free(r);
    return result;
}

int cmd_export(int argc, char **argv)
{
    static const struct option options[] = {
        {"start", required_argument, NULL, 's'},
        {"end", required_argument, NULL, 'e'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct query q = {.kind = QUERY_EXPORT, .start_ms = 0, .end_ms = TIME_ARG_MAX_MS};
    struct error error;
    optind = 0;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 's':
        case 'e':
            if (time_arg_parse(optarg, clock_now_ms(), c == 's' ? &q.start_ms : &q.end_ms, &error) < 0)
                return command_wrong_usage(argv[0], error.message);
            break;
        case 'h':
            fputs(help, stdout);
            return EXIT_CLEAN;
        default:
            return command_wrong_usage(argv[0], NULL);
        }
    }
    if (argc - optind < 1 || argc - optind > 2)
        return command_wrong_usage(argv[0], "give DIR and at most one SELECTOR");
    if (argc - optind == 2)
        query_add_match(&q, argv[optind + 1]);
    int r = run(argv[optind], &q, &error);
    query_release(&q);
    return r < 0 ? command_failed(argv[0], &error) : command_end_output(argv[0]);
}
