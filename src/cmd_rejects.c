#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "sinks/reject_reader.h"
#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/commands.h"
#include "src/reject_replay.h"
#include "src/reject_text.h"
#include "src/sink_factory.h"
#include "storage/commit/checkpoint.h"
#include "storage/fs/file_names.h"

#define SHOWN_MAX 120 /* bytes of a payload, on a line */

static const char help[] =
    "Usage: varve rejects list DIR [--sink NAME] [--reason REASON] [--all] [--full] [--json]\n"
    "       varve rejects replay DIR [-c FILE] [--sink NAME]\n"
    "\n"
    "Messages and lines that couldn't be decoded. `list` shows those of the store in DIR, or of the reject\n"
    "log in DIR, oldest first; the store may be running.\n"
    "\n"
    "`replay` decodes them again, as the configuration in FILE now says, and stores what that makes of them "
    "in\n"
    "the store in DIR, which must not be running. What is still bad stays a reject. Each is stored once, "
    "however\n"
    "often replay runs or is interrupted; Kafka's offsets and MQTT's spools aren't touched.\n"
    "\n"
    "  --sink NAME         only that sink's\n"
    "  --reason REASON     only those of that reason\n"
    "  --all               also those that a replay has dealt with\n"
    "  --full              all bytes that were kept, not the first 120\n"
    "  --json              JSON lines, with all bytes\n"
    "  -c, --config FILE   the configuration (default " CONFIG_PATH_DEFAULT ")\n"
    "  -h, --help          this text\n"
    "\n"
    "Exit status: 0, 1 for a configuration with errors, 2 if it can't be done, 64 for wrong usage.\n";

struct arguments {
    const char *sink, *reason, *config;
    bool all, full, json;
};

/* --- list --- */

static bool is_text(struct span s, const char *text)
{
    return !text || (s.len == strlen(text) && memcmp(s.data, text, s.len) == 0);
}

/* As of the last clean stop or recovery: a replay always ends with one. */
static bool was_replayed(const struct checkpoint *c, const struct reject_entry *e, uint64_t end)
{
    _cleanup_free_ char *key = xasprintf("%.*s/" REJECT_REPLAY_KEY, (int)e->sink.len, e->sink.data);
    const struct position_entry *p = position_table_find(&c->positions, key, (uint32_t)strlen(key));
    return p && end <= p->position.next;
}

static char *rejects_of_store(const char *dir)
{
    return xasprintf("%s/" DIR_VARVE "/rejects", dir);
}

static int print_entries(struct reject_reader *reader, const struct checkpoint *c, const struct arguments *a,
                         struct error *reterr)
{
    struct reject_entry e;
    struct buffer line = {0};
    int r;
    while ((r = reject_reader_next(reader, &e, reterr)) == 1) {
        if (!is_text(e.sink, a->sink) || !is_text(e.reason, a->reason) ||
            (!a->all && was_replayed(c, &e, reject_reader_offset(reader))))
            continue;
        buffer_clear(&line);
        if (a->json)
            reject_append_json(&line, &e);
        else
            reject_append_text(&line, &e, a->full ? SIZE_MAX : SHOWN_MAX);
        (void)fwrite(line.data, 1, line.len, stdout);
    }
    buffer_release(&line);
    if (r == 0 && reject_reader_damaged(reader))
        fprintf(stderr,
                "varve rejects: %" PRIu64
                " damaged file(s) of the reject log, shown as far as they're whole\n",
                reject_reader_damaged(reader));
    return r;
}

static int list(const char *dir, const struct arguments *a, struct error *reterr)
{
    _cleanup_free_ char *varve = xasprintf("%s/" DIR_VARVE, dir);
    _cleanup_free_ char *checkpoint = xasprintf("%s/" FILE_CHECKPOINT, dir);
    _cleanup_free_ char *rejects = fs_is_dir(varve) ? rejects_of_store(dir) : xstrdup(dir);
    struct checkpoint c = {0};
    struct reject_reader *reader;
    if (!fs_is_dir(rejects) && fs_is_dir(varve))
        return error_set(reterr, ERR_NOT_FOUND,
                         "%s isn't there: if rejects.path is somewhere else, give that directory", rejects);
    int r = fs_exists(checkpoint) ? checkpoint_read(&c, checkpoint, reterr) : 0;
    if (r == 0)
        r = reject_reader_open(rejects, &reader, reterr);
    if (r == 0) {
        r = print_entries(reader, &c, a, reterr);
        reject_reader_close(reader);
    }
    checkpoint_release(&c);
    return r;
}

/* --- replay --- */

/* Where the rejects of the store in DIR are: as configured, if that's the configuration's store. */
static char *rejects_dir(const struct config *cfg, const char *dir)
{
    _cleanup_free_ char *a = realpath(dir, NULL), *b = realpath(cfg->storage.path, NULL);
    return a && b && strcmp(a, b) == 0 ? xstrdup(cfg->rejects.path) : rejects_of_store(dir);
}

static void print_count(const char *format, uint64_t count)
{
    if (count)
        printf(format, count);
}

static void print_totals(const struct reject_replay_totals *t)
{
    printf("%" PRIu64 " rejects replayed: %" PRIu64 " stored as %" PRIu64 " samples, %" PRIu64
           " still can't be decoded\n",
           t->entries, t->stored, t->rows, t->still_bad);
    print_count("%" PRIu64 " samples left out: too old, too new, or beyond a limit\n", t->rows_dropped);
    print_count("%" PRIu64 " kept as they are: only the head of the message was kept\n", t->cut_short);
    print_count("%" PRIu64 " kept as they are: of topics that the sink no longer reads\n", t->other_topic);
    print_count("%" PRIu64 " kept as they are: `labels` refer to headers, which rejects don't have\n",
                t->needs_headers);
    print_count("%" PRIu64 " kept as they are: parts of a message that mean nothing without the rest\n",
                t->parts);
    print_count("%" PRIu64 " left alone: of other sinks\n", t->of_other_sinks);
    print_count("%" PRIu64 " damaged files of the reject log, read as far as they're whole\n",
                t->damaged_segments);
}

static int replay(const char *dir, const struct arguments *a)
{
    struct config *cfg;
    struct config_errors errors = {0};
    struct error error;
    struct reject_replay_totals totals;
    int r = config_read_file(&cfg, a->config, &sink_factory_config_hooks, &errors);
    config_errors_print(&errors, stderr);
    config_errors_release(&errors);
    if (r < 0)
        return EXIT_BAD_CONFIG;
    _cleanup_free_ char *rejects = rejects_dir(cfg, dir);
    r = reject_replay_run(cfg, dir, rejects, a->sink, &totals, &error);
    config_free(cfg);
    if (r < 0)
        return command_failed("rejects", &error);
    print_totals(&totals);
    return command_end_output("rejects");
}

int cmd_rejects(int argc, char **argv)
{
    static const struct option options[] = {
        {"sink", required_argument, NULL, 's'}, {"reason", required_argument, NULL, 'r'},
        {"all", no_argument, NULL, 'a'},        {"full", no_argument, NULL, 'f'},
        {"json", no_argument, NULL, 'j'},       {"config", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0},
    };
    struct arguments a = {0};
    struct error error;
    optind = 0;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (c) {
        case 's':
            a.sink = optarg;
            break;
        case 'r':
            a.reason = optarg;
            break;
        case 'a':
            a.all = true;
            break;
        case 'f':
            a.full = true;
            break;
        case 'j':
            a.json = true;
            break;
        case 'c':
            a.config = optarg;
            break;
        case 'h':
            fputs(help, stdout);
            return EXIT_CLEAN;
        default:
            return command_wrong_usage(argv[0], NULL);
        }
    }
    if (argc - optind != 2)
        return command_wrong_usage(argv[0], "give list or replay, and DIR");
    const char *verb = argv[optind], *dir = argv[optind + 1];
    if (strcmp(verb, "list") == 0) {
        if (a.config)
            return command_wrong_usage(argv[0], "list needs no configuration");
        return list(dir, &a, &error) < 0 ? command_failed(argv[0], &error) : command_end_output(argv[0]);
    }
    if (strcmp(verb, "replay") != 0)
        return command_wrong_usage(argv[0], "give list or replay, and DIR");
    if (a.reason || a.all || a.full || a.json)
        return command_wrong_usage(argv[0], "replay takes -c and --sink only");
    if (!a.config)
        a.config = CONFIG_PATH_DEFAULT;
    return replay(dir, &a);
}
