#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "src/commands.h"
#include "src/offsets_change.h"
#include "src/position_text.h"
#include "src/time_arg.h"
#include "storage/search/inspect.h"
#include "storage/storage.h"

static const char help[] =
    "Usage: varve offsets show DIR [--json]\n"
    "       varve offsets reset DIR WHICH... WHERE [--execute]\n"
    "\n"
    "Positions of a stopped store: up to where each Kafka partition and each MQTT spool is in it.\n"
    "They, not the consumer group's offsets, decide where reading goes on. `reset` prints what would\n"
    "change; with --execute it changes that. Samples that are read again are stored again.\n"
    "\n"
    "WHICH: all that are given must fit\n"
    "  --sink NAME          of that sink\n"
    "  --topic TOPIC        of that Kafka topic\n"
    "  --partition N[,N]    of these partitions\n"
    "  --cluster ID         of that Kafka cluster\n"
    "  --spool ID           of that MQTT spool\n"
    "  --rejects            how far rejects were replayed, instead (see `varve rejects -h`); with --topic,\n"
    "                       how far they were sent to that Kafka topic\n"
    "  --all                every one\n"
    "\n"
    "WHERE: one of\n"
    "  --to earliest        a Kafka partition's first record, when it's next assigned\n"
    "  --to latest          its end, then\n"
    "  --to TIME            its first record from then on; RFC 3339, 2026-11-01T00:00:00Z\n"
    "  --to N               that offset; or that message of an MQTT spool\n"
    "  --forget             as if it had never been read: a Kafka partition starts at the group's offset,\n"
    "                       or else by start_from; a spool is read from the first message it holds\n"
    "  --rename NAME        the sink was renamed: NAME goes on where it was\n"
    "\n"
    "  --execute            do it\n"
    "  --json               of show: the positions as one JSON array\n"
    "  -h, --help           this text\n"
    "\n"
    "Exit status: 0, 2 if it can't be done or nothing fits, 64 for wrong usage.\n";

static int show(const char *dir, bool json, struct error *reterr)
{
    struct inspection in;
    struct buffer text = {0};
    int r = inspection_open(&in, dir, reterr);
    if (r < 0)
        return r;
    const struct position_table *positions = &in.view.state.positions;
    if (json)
        buffer_append_u8(&text, '[');
    for (size_t i = 0; i < positions->count; i++) {
        const struct position_entry *e = &positions->entries[i];
        if (json && i)
            buffer_append_u8(&text, ',');
        if (json)
            position_append_json(&text, e->key, e->key_len, &e->position);
        else
            position_append_text(&text, e->key, e->key_len, &e->position);
        if (!json)
            buffer_append_u8(&text, '\n');
    }
    if (json)
        buffer_append_str(&text, "]\n");
    inspection_release(&in);
    (void)fwrite(text.data, 1, text.len, stdout);
    buffer_release(&text);
    return 0;
}

struct reset {
    const struct offsets_change *change;
    struct buffer said;
    size_t count;
};

static int edit(void *context, struct position_table *positions, struct error *reterr)
{
    struct reset *reset = context;
    return offsets_change_apply(reset->change, positions, &reset->said, &reset->count, reterr);
}

/* On what the store would have, without touching it. */
static int try_out(const char *dir, struct reset *reset, struct error *reterr)
{
    struct inspection in;
    int r = inspection_open(&in, dir, reterr);
    if (r < 0)
        return r;
    r = edit(reset, &in.view.state.positions, reterr);
    inspection_release(&in);
    return r;
}

static int run_reset(const char *dir, const struct offsets_change *change, bool execute, struct error *reterr)
{
    struct reset reset = {.change = change};
    int r = execute ? storage_edit_positions(dir, edit, &reset, reterr) : try_out(dir, &reset, reterr);
    if (r == 0) {
        (void)fwrite(reset.said.data, 1, reset.said.len, stdout);
        printf(execute ? "%zu position(s) changed\n"
                       : "%zu position(s) would change; nothing is done without --execute\n",
               reset.count);
    }
    buffer_release(&reset.said);
    return r;
}

/* --- arguments --- */

struct arguments {
    struct offsets_change change;
    int32_t partitions[64];
    bool json, execute;
};

static bool parse_number(const char *text, int64_t max, int64_t *ret)
{
    char *end;
    errno = 0;
    *ret = strtoll(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *ret <= max;
}

static bool parse_partitions(struct arguments *a, const char *text)
{
    char *copy = xstrdup(text), *rest = copy, *word;
    bool ok = true;
    while (ok && (word = strsep(&rest, ","))) {
        int64_t n = 0;
        ok = a->change.partitions_count < sizeof a->partitions / sizeof *a->partitions &&
             parse_number(word, INT32_MAX, &n);
        if (ok)
            a->partitions[a->change.partitions_count++] = (int32_t)n;
    }
    free(copy);
    a->change.partitions = a->partitions;
    return ok;
}

static int parse_to(struct offsets_change *c, const char *text, struct error *reterr)
{
    c->action = OFFSETS_BEGIN;
    if (strcmp(text, "earliest") == 0) {
        c->begin = KAFKA_BEGIN_EARLIEST;
    } else if (strcmp(text, "latest") == 0) {
        c->begin = KAFKA_BEGIN_LATEST;
    } else if (parse_number(text, INT64_MAX, &c->value)) {
        c->begin = KAFKA_BEGIN_OFFSET;
    } else if (strchr(text, 'T')) {
        c->begin = KAFKA_BEGIN_TIMESTAMP;
        return time_arg_parse(text, clock_now_ms(), &c->value, reterr);
    } else {
        return error_set(reterr, ERR_INVALID,
                         "--to takes earliest, latest, a number or a time like "
                         "2026-11-01T00:00:00Z");
    }
    return 0;
}

static bool is_sink_name(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return len > 0 && len <= 64 && name[len] == '\0';
}

enum { OPT_EXECUTE = 256 };

static int take_option(struct arguments *a, int option, const char *value, struct error *reterr)
{
    struct offsets_change *c = &a->change;
    bool has_action = c->action != OFFSETS_NOTHING;
    switch (option) {
    case 's':
        c->sink = value;
        return 0;
    case 't':
        c->topic = value;
        return 0;
    case 'c':
        c->cluster = value;
        return 0;
    case 'p':
        if (!parse_partitions(a, value))
            return error_set(reterr, ERR_INVALID, "--partition takes numbers, at most 64: 0,1,2");
        return 0;
    case 'm':
        c->spool = value;
        return 0;
    case 'R':
        c->rejects = true;
        return 0;
    case 'a':
        c->all = true;
        return 0;
    case 'j':
        a->json = true;
        return 0;
    case OPT_EXECUTE:
        a->execute = true;
        return 0;
    default:
        break;
    }
    if (has_action)
        return error_set(reterr, ERR_INVALID, "give one of --to, --forget and --rename");
    if (option == 'o')
        return parse_to(c, value, reterr);
    c->action = option == 'f' ? OFFSETS_FORGET : OFFSETS_RENAME;
    c->new_name = value;
    if (option == 'r' && !is_sink_name(value))
        return error_set(reterr, ERR_INVALID, "a sink's name is made of a-z, 0-9, _ and -");
    return 0;
}

static const char *check_reset(const struct offsets_change *c)
{
    bool chosen = c->sink || c->topic || c->cluster || c->spool || c->rejects || c->partitions_count;
    if (chosen == c->all)
        return "say which: --sink, --topic, --partition, --cluster, --spool; or --all";
    if (c->action == OFFSETS_NOTHING)
        return "say where: --to, --forget or --rename";
    if (c->action == OFFSETS_RENAME && !c->sink)
        return "--rename needs --sink, the name that it had";
    if (c->partitions_count && !c->topic)
        return "--partition needs --topic";
    return NULL;
}

int cmd_offsets(int argc, char **argv)
{
    static const struct option options[] = {
        {"sink", required_argument, NULL, 's'},
        {"topic", required_argument, NULL, 't'},
        {"partition", required_argument, NULL, 'p'},
        {"cluster", required_argument, NULL, 'c'},
        {"spool", required_argument, NULL, 'm'},
        {"rejects", no_argument, NULL, 'R'},
        {"all", no_argument, NULL, 'a'},
        {"to", required_argument, NULL, 'o'},
        {"forget", no_argument, NULL, 'f'},
        {"rename", required_argument, NULL, 'r'},
        {"execute", no_argument, NULL, OPT_EXECUTE},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct arguments a = {0};
    struct error error;
    bool has_options = false;
    optind = 0;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'h') {
            fputs(help, stdout);
            return EXIT_CLEAN;
        }
        if (c == '?')
            return command_wrong_usage(argv[0], NULL);
        if (take_option(&a, c, optarg, &error) < 0)
            return command_wrong_usage(argv[0], error.message);
        has_options |= c != 'j';
    }
    if (argc - optind != 2)
        return command_wrong_usage(argv[0], "give show or reset, and DIR");
    const char *verb = argv[optind], *dir = argv[optind + 1];
    int r;
    if (strcmp(verb, "show") == 0) {
        if (has_options)
            return command_wrong_usage(argv[0], "show takes --json only");
        r = show(dir, a.json, &error);
    } else if (strcmp(verb, "reset") == 0) {
        const char *wrong = a.json ? "--json is of show" : check_reset(&a.change);
        if (wrong)
            return command_wrong_usage(argv[0], wrong);
        r = run_reset(dir, &a.change, a.execute, &error);
    } else {
        return command_wrong_usage(argv[0], "give show or reset, and DIR");
    }
    return r < 0 ? command_failed(argv[0], &error) : command_end_output(argv[0]);
}
