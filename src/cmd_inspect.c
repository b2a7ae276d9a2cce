#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "src/base/buffer.h"
#include "src/commands.h"
#include "src/json.h"
#include "src/position_text.h"
#include "storage/block/block_stream_reader.h"
#include "storage/part/file_part.h"
#include "storage/search/inspect.h"

static const char help[] =
    "Usage: varve inspect DIR [--json] [PART]\n"
    "\n"
    "Shows months, parts by kind, which of them wait for a merge, rows, bytes a sample and\n"
    "positions of the store or snapshot in DIR, or the blocks of one PART (its name, as the list\n"
    "shows it). Changes nothing; the store must not be running.\n"
    "\n"
    "  --json       the same as one JSON object\n"
    "  -h, --help   this text\n"
    "\n"
    "Exit status: 0, 2 if the store can't be read, 64 for wrong usage.\n";

static const char *place_name(enum part_place place)
{
    static const char *const names[PART_PLACES] = {"small", "big", "index"};
    return names[place];
}

#define TIME_TEXT_SIZE 40

static const char *format_time(int64_t ms, char dst[TIME_TEXT_SIZE])
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    if (ms < 0 || !gmtime_r(&s, &tm)) {
        snprintf(dst, TIME_TEXT_SIZE, "%" PRId64, ms);
        return dst;
    }
    size_t n = strftime(dst, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(dst + n, TIME_TEXT_SIZE - n, ".%03dZ", (int)(ms % 1000));
    return dst;
}

/* --- sums --- */

struct sums {
    uint64_t parts, rows, blocks, bytes; /* of data */
    uint64_t index_parts, index_items, index_bytes;
};

/* month NULL: all of them. */
static struct sums sum_parts(const struct inspection *in, const char *month)
{
    struct inspected_kind index = inspection_sum(in, month, PLACE_INDEX);
    struct sums s = {.index_parts = index.parts, .index_items = index.rows, .index_bytes = index.bytes};
    for (int place = PLACE_SMALL; place <= PLACE_BIG; place++) {
        struct inspected_kind data = inspection_sum(in, month, (enum part_place)place);
        s.parts += data.parts;
        s.rows += data.rows;
        s.blocks += data.blocks;
        s.bytes += data.bytes;
    }
    return s;
}

static double per_sample(uint64_t bytes, uint64_t rows)
{
    return rows ? (double)bytes / (double)rows : 0;
}

/* --- text --- */

static void print_store(const struct inspection *in)
{
    char text[TIME_TEXT_SIZE];
    printf("store ");
    if (in->view.has_checkpoint) {
        for (size_t i = 0; i < sizeof in->view.state.store_id; i++)
            printf("%02x", in->view.state.store_id[i]);
        printf(", commit %" PRIu64 " of %s", in->view.state.n, format_time(in->view.state.time_ms, text));
    } else {
        printf("that no Varve has owned yet");
    }
    puts(in->clean ? ", stopped cleanly"
                   : ", not stopped cleanly: `varve recover` or the next start finishes it");
    struct sums s = sum_parts(in, NULL);
    printf("%" PRIu64 " rows in %" PRIu64 " blocks of %" PRIu64 " parts, %" PRIu64
           " bytes (%.3f a sample); index %" PRIu64 " items in %" PRIu64 " parts, %" PRIu64
           " bytes (%.3f a sample)\n",
           s.rows, s.blocks, s.parts, s.bytes, per_sample(s.bytes, s.rows), s.index_items, s.index_parts,
           s.index_bytes, per_sample(s.index_bytes, s.rows));
}

/* "small 12 parts, 5000 rows, 900 bytes": nothing of kinds that there are none of. */
static void print_kind(const struct inspection *in, const char *month, enum part_place place)
{
    struct inspected_kind sum = inspection_sum(in, month, place);
    if (!sum.parts)
        return;
    printf("  %-5s %" PRIu64 " part%s, %" PRIu64 " %s, %" PRIu64 " bytes", place_name(place), sum.parts,
           sum.parts == 1 ? "" : "s", sum.rows, place == PLACE_INDEX ? "items" : "rows", sum.bytes);
    if (sum.unlisted)
        printf(", %" PRIu64 " to be published", sum.unlisted);
    if (sum.merge_waits)
        printf(", %" PRIu64 " wait for a merge", sum.merge_waits);
    putchar('\n');
}

static void print_month(const struct inspection *in, const char *month)
{
    char from[TIME_TEXT_SIZE], to[TIME_TEXT_SIZE];
    struct sums s = sum_parts(in, month);
    printf("\nmonth %s: %" PRIu64 " rows, %.3f bytes a sample\n", month, s.rows,
           per_sample(s.bytes + s.index_bytes, s.rows));
    for (int place = 0; place < PART_PLACES; place++)
        print_kind(in, month, (enum part_place)place);
    for (size_t i = 0; i < in->parts_count; i++) {
        const struct inspected_part *p = &in->parts[i];
        if (strcmp(p->month, month) != 0)
            continue;
        printf("  %-5s %s  %10" PRIu64 " %-5s  %8" PRIu64 " blocks  %12" PRIu64 " bytes",
               place_name(p->place), p->name, p->rows, p->place == PLACE_INDEX ? "items" : "rows", p->blocks,
               p->bytes);
        if (p->place != PLACE_INDEX)
            printf("  %s ... %s", format_time(p->min_timestamp, from), format_time(p->max_timestamp, to));
        if (p->commit)
            printf("  (commit %" PRIu64 ", not listed yet)", p->commit);
        putchar('\n');
    }
}

static void print_positions(const char *what, const struct position_table *positions)
{
    printf("\n%s: %zu\n", what, positions->count);
    for (size_t i = 0; i < positions->count; i++) {
        const struct position_entry *e = &positions->entries[i];
        struct buffer text = {0};
        position_append_text(&text, e->key, e->key_len, &e->position);
        printf("  %s\n", buffer_cstr(&text));
        buffer_release(&text);
    }
}

static void print_text(const struct inspection *in)
{
    print_store(in);
    for (size_t i = 0; i < in->view.months_count; i++)
        print_month(in, in->view.months[i].month.name);
    print_positions("positions", &in->view.state.positions);
    if (in->view.has_prepared) {
        printf("\ncommit %" PRIu64 " is prepared and waits for its group to decide (fenced_commits)\n",
               in->view.prepared.record.n);
        print_positions("its positions", &in->view.prepared.record.positions);
    }
}

/* --- JSON --- */

static void append_string(struct buffer *b, const char *s)
{
    json_append_string(b, s, strlen(s));
}

static void append_sums(struct buffer *b, const struct sums *s)
{
    buffer_printf(b,
                  "\"rows\":%" PRIu64 ",\"blocks\":%" PRIu64 ",\"data_parts\":%" PRIu64
                  ",\"data_bytes\":%" PRIu64 ",\"index_items\":%" PRIu64 ",\"index_parts\":%" PRIu64
                  ",\"index_bytes\":%" PRIu64 ",\"bytes_per_sample\":%.6f",
                  s->rows, s->blocks, s->parts, s->bytes, s->index_items, s->index_parts, s->index_bytes,
                  per_sample(s->bytes + s->index_bytes, s->rows));
}

static void append_part(struct buffer *b, const struct inspected_part *p)
{
    buffer_append_str(b, "{\"name\":");
    append_string(b, p->name);
    buffer_printf(b, ",\"kind\":\"%s\",\"%s\":%" PRIu64 ",\"blocks\":%" PRIu64 ",\"bytes\":%" PRIu64,
                  place_name(p->place), p->place == PLACE_INDEX ? "items" : "rows", p->rows, p->blocks,
                  p->bytes);
    if (p->place != PLACE_INDEX)
        buffer_printf(b, ",\"min_timestamp\":%" PRId64 ",\"max_timestamp\":%" PRId64, p->min_timestamp,
                      p->max_timestamp);
    if (p->commit)
        buffer_printf(b, ",\"commit\":%" PRIu64, p->commit);
    buffer_append_str(b, ",\"dir\":");
    append_string(b, p->dir);
    buffer_append_u8(b, '}');
}

/* ,"kinds":{"small":{...},"big":{...},"index":{...}} */
static void append_kinds(struct buffer *b, const struct inspection *in, const char *month)
{
    for (int place = 0; place < PART_PLACES; place++) {
        struct inspected_kind sum = inspection_sum(in, month, (enum part_place)place);
        buffer_printf(b,
                      "%s\"%s\":{\"parts\":%" PRIu64 ",\"%s\":%" PRIu64 ",\"blocks\":%" PRIu64
                      ",\"bytes\":%" PRIu64 ",\"unlisted_parts\":%" PRIu64 ",\"merge_waits\":%" PRIu64 "}",
                      place ? "," : ",\"kinds\":{", place_name((enum part_place)place), sum.parts,
                      place == PLACE_INDEX ? "items" : "rows", sum.rows, sum.blocks, sum.bytes, sum.unlisted,
                      sum.merge_waits);
    }
    buffer_append_u8(b, '}');
}

static void append_month(struct buffer *b, const struct inspection *in, const char *month)
{
    struct sums s = sum_parts(in, month);
    buffer_append_str(b, "{\"month\":");
    append_string(b, month);
    buffer_append_u8(b, ',');
    append_sums(b, &s);
    append_kinds(b, in, month);
    buffer_append_str(b, ",\"parts\":[");
    bool first = true;
    for (size_t i = 0; i < in->parts_count; i++) {
        if (strcmp(in->parts[i].month, month) != 0)
            continue;
        if (!first)
            buffer_append_u8(b, ',');
        first = false;
        append_part(b, &in->parts[i]);
    }
    buffer_append_str(b, "]}");
}

static void append_positions(struct buffer *b, const struct position_table *positions)
{
    buffer_append_str(b, "\"positions\":[");
    for (size_t i = 0; i < positions->count; i++) {
        const struct position_entry *e = &positions->entries[i];
        if (i)
            buffer_append_u8(b, ',');
        position_append_json(b, e->key, e->key_len, &e->position);
    }
    buffer_append_u8(b, ']');
}

static void append_json(struct buffer *b, const struct inspection *in)
{
    struct sums s = sum_parts(in, NULL);
    buffer_append_str(b, "{\"store_id\":");
    if (in->view.has_checkpoint) {
        buffer_append_u8(b, '"');
        for (size_t i = 0; i < sizeof in->view.state.store_id; i++)
            buffer_printf(b, "%02x", in->view.state.store_id[i]);
        buffer_printf(b, "\",\"commit\":%" PRIu64 ",\"commit_time_ms\":%" PRId64, in->view.state.n,
                      in->view.state.time_ms);
    } else {
        buffer_append_str(b, "null,\"commit\":0,\"commit_time_ms\":null");
    }
    buffer_printf(b, ",\"clean\":%s,", in->clean ? "true" : "false");
    append_sums(b, &s);
    append_kinds(b, in, NULL);
    buffer_append_str(b, ",\"months\":[");
    for (size_t i = 0; i < in->view.months_count; i++) {
        if (i)
            buffer_append_u8(b, ',');
        append_month(b, in, in->view.months[i].month.name);
    }
    buffer_append_str(b, "],");
    append_positions(b, &in->view.state.positions);
    if (in->view.has_prepared) {
        buffer_printf(b, ",\"prepared\":{\"commit\":%" PRIu64 ",", in->view.prepared.record.n);
        append_positions(b, &in->view.prepared.record.positions);
        buffer_append_u8(b, '}');
    }
    buffer_append_str(b, "}\n");
}

/* --- one part --- */

static void print_block(const struct block_header *bh, bool json, bool first)
{
    char from[TIME_TEXT_SIZE], to[TIME_TEXT_SIZE];
    if (json)
        printf("%s{\"metric_id\":%" PRIu64 ",\"rows\":%" PRIu32 ",\"min_timestamp\":%" PRId64
               ",\"max_timestamp\":%" PRId64 ",\"scale\":%d,\"timestamps_type\":%u,\"values_type\":%u,"
               "\"precision_bits\":%u,\"timestamps_bytes\":%" PRIu32 ",\"values_bytes\":%" PRIu32 "}",
               first ? "" : ",", bh->tsid.metric_id, bh->rows_count, bh->min_timestamp, bh->max_timestamp,
               bh->scale, bh->timestamps_type, bh->values_type, bh->precision_bits, bh->timestamps_size,
               bh->values_size);
    else
        printf("  metric id %020" PRIu64 "  %5" PRIu32
               " rows  %s ... %s  scale %4d  types %u/%u  bytes %" PRIu32 "/%" PRIu32 "\n",
               bh->tsid.metric_id, bh->rows_count, format_time(bh->min_timestamp, from),
               format_time(bh->max_timestamp, to), bh->scale, bh->timestamps_type, bh->values_type,
               bh->timestamps_size, bh->values_size);
}

static int print_data_part(const struct inspected_part *p, bool json, struct error *reterr)
{
    struct file_part *part;
    int r = file_part_open(&part, p->dir, reterr);
    if (r < 0)
        return r;
    struct block_stream_reader bsr;
    block_stream_reader_init_from_file_part(&bsr, part);
    bool first = true;
    while ((r = block_stream_reader_next(&bsr, reterr)) == 1) {
        print_block(&bsr.block.header, json, first);
        first = false;
    }
    block_stream_reader_release(&bsr);
    file_part_free(part);
    return r;
}

static int print_part(const struct inspection *in, const char *name, bool json, struct error *reterr)
{
    for (size_t i = 0; i < in->parts_count; i++) {
        const struct inspected_part *p = &in->parts[i];
        if (strcmp(p->name, name) != 0)
            continue;
        struct buffer text = {0};
        append_part(&text, p);
        if (json)
            printf("{\"month\":\"%s\",\"part\":%s,\"blocks\":[", p->month, buffer_cstr(&text));
        else
            printf("part %s of month %s, %s: %" PRIu64 " %s, %" PRIu64 " blocks, %" PRIu64 " bytes\n",
                   p->name, p->month, place_name(p->place), p->rows,
                   p->place == PLACE_INDEX ? "items" : "rows", p->blocks, p->bytes);
        buffer_release(&text);
        int r = p->place == PLACE_INDEX ? 0 : print_data_part(p, json, reterr);
        if (json)
            puts("]}");
        return r;
    }
    return error_set(reterr, ERR_NOT_FOUND, "there's no part %s", name);
}

static int inspect(const char *dir, const char *part, bool json, struct error *reterr)
{
    struct inspection in;
    int r = inspection_open(&in, dir, reterr);
    if (r < 0)
        return r;
    if (part) {
        r = print_part(&in, part, json, reterr);
    } else if (json) {
        struct buffer text = {0};
        append_json(&text, &in);
        fwrite(text.data, 1, text.len, stdout);
        buffer_release(&text);
    } else {
        print_text(&in);
    }
    inspection_release(&in);
    return r;
}

int cmd_inspect(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    bool json = false;
    optind = 0;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'j':
            json = true;
            break;
        case 'h':
            fputs(help, stdout);
            return EXIT_CLEAN;
        default:
            return command_wrong_usage(argv[0], NULL);
        }
    }
    if (argc - optind < 1 || argc - optind > 2)
        return command_wrong_usage(argv[0], "give DIR and at most one PART");
    struct error error;
    if (inspect(argv[optind], argv[optind + 1], json, &error) < 0)
        return command_failed(argv[0], &error);
    return command_end_output(argv[0]);
}
