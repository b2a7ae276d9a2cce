/*
 * store_facts - opens directories as Varve does, and tells what is in them: tests/real/crash_states.py has
 * thousands of them opened by one process.
 *
 *   store_facts
 * Standard input: a line "SPOOL-NAME CLIENT-ID HOST PORT DIR" each. DIR is changed: an unclean stop is
 * finished. The answer, on standard output, in lines:
 *
 *   store found|none           none: there's no store (yet)
 *   position KEY NEXT          in the order of keys
 *   row LINE                   a series, as `varve export` prints it
 *   reject PAYLOAD             of the reject log, once it's cut to the length that the last record carries
 *   spool ID FIRST NEXT TORN DAMAGED
 *   record LSN PACKET-ID HASH PAYLOAD
 *   ring PACKET-ID HASH        what a message that is sent again would be held against, in order of storing
 *   error TEXT                 Varve wouldn't open it, or it isn't the same before and after that
 *   end
 * Payloads are in hexadecimal. What is there is looked at three times: through the journal without a change,
 * in the opened store, and after its clean stop; positions and rows have to be the same.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/mqtt/mqtt_session.h"
#include "sinks/mqtt/spool_reader.h"
#include "sinks/reject_log.h"
#include "sinks/reject_reader.h"
#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "storage/search/inspect.h"
#include "storage/search/search.h"
#include "storage/storage.h"
#include "storage/store_dir.h"

#define SPOOL_BYTES  (1024 * 1024)
#define READ_BYTES   (256 * 1024)
#define REJECT_BYTES (16 * 1024 * 1024)

static void append_hex(struct buffer *b, struct span bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        buffer_printf(b, "%02x", (uint8_t)bytes.data[i]);
}

/* --- positions and rows --- */

static void put_position(void *context, const void *key, uint32_t key_len,
                         const struct storage_position *position)
{
    buffer_printf(context, "position %.*s %" PRIu64 "\n", (int)key_len, (const char *)key, position->next);
}

static int put_row(void *context, const struct series_rows *rows)
{
    struct error error;
    buffer_append_str(context, "row ");
    return format_export_line(context, rows, &error);
}

static int put_rows(struct buffer *dst, struct reader *r, struct error *reterr)
{
    int result = reader_export(r, NULL, 0, 0, INT64_MAX / 2, put_row, dst, reterr);
    reader_free(r);
    return result;
}

/* What the directory shows without a change. */
static int look(struct buffer *dst, const char *dir, bool *ret_clean, struct error *reterr)
{
    struct inspection in;
    struct reader *r;
    int result = inspection_open(&in, dir, reterr);
    if (result < 0)
        return result;
    *ret_clean = in.clean;
    for (size_t i = 0; i < in.view.state.positions.count; i++) {
        const struct position_entry *e = &in.view.state.positions.entries[i];
        put_position(dst, e->key, e->key_len, &e->position);
    }
    inspection_release(&in);
    result = reader_open_dir(&r, dir, reterr);
    return result < 0 ? result : put_rows(dst, r, reterr);
}

static int compare(const struct buffer *found, const struct buffer *later, const char *when,
                   struct error *reterr)
{
    if (found->len == later->len && (!found->len || memcmp(found->data, later->data, found->len) == 0))
        return 0;
    return error_set(reterr, ERR_CORRUPT, "%s it shows something else: %.*s", when, (int)later->len,
                     (const char *)later->data);
}

static void on_fatal(void *context, const struct error *error)
{
    *(struct error *)context = *error;
}

/* --- rejects --- */

static int put_rejects(struct buffer *dst, const char *dir, uint64_t length, struct error *reterr)
{
    _cleanup_free_ char *path = xasprintf("%s/" DIR_VARVE "/rejects", dir);
    struct reject_log *log;
    struct reject_reader *reader;
    int r = reject_log_open(path, REJECT_BYTES, &log, reterr);
    if (r < 0)
        return r;
    r = reject_log_cut(log, length, reterr);
    if (r == 0 && reject_log_length(log) != length)
        r = error_set(reterr, ERR_CORRUPT, "the reject log is %" PRIu64 " bytes, not %" PRIu64,
                      reject_log_length(log), length);
    reject_log_close(log);
    if (r < 0 || (r = reject_reader_open(path, &reader, reterr)) < 0)
        return r;
    struct reject_entry entry;
    while ((r = reject_reader_next(reader, &entry, reterr)) == 1) {
        buffer_append_str(dst, "reject ");
        append_hex(dst, entry.payload);
        buffer_append_str(dst, "\n");
    }
    if (r == 0 && reject_reader_damaged(reader))
        r = error_set(reterr, ERR_CORRUPT, "the reject log is damaged below the length of the last record");
    reject_reader_close(reader);
    return r;
}

/* --- the spool and its session --- */

static int put_records(struct buffer *dst, struct spool *spool, const struct spool_stats *stats,
                       uint64_t *ret_damaged, struct error *reterr)
{
    struct spool_reader reader;
    spool_reader_init(&reader, spool, stats->first_lsn);
    int r = 0;
    while (r >= 0 && reader.next_lsn < stats->next_lsn) {
        uint64_t before = reader.next_lsn;
        r = spool_reader_read(&reader, READ_BYTES, reterr);
        for (int i = 0; i < r; i++) {
            const struct spool_record *record = &reader.records[i];
            buffer_printf(dst, "record %" PRIu64 " %u %016" PRIx64 " ", record->lsn, record->packet_id,
                          mqtt_dedup_hash(record));
            append_hex(dst, record->payload);
            buffer_append_str(dst, "\n");
        }
        if (reader.next_lsn == before)
            break;
    }
    *ret_damaged = reader.damaged_total;
    spool_reader_release(&reader);
    return r < 0 ? r : 0;
}

static int put_ring(struct buffer *dst, struct spool *spool, uint64_t next_lsn, const char *name,
                    uint64_t identity, struct error *reterr)
{
    struct mqtt_session session;
    int r = mqtt_session_open(&session, spool, SPOOL_BYTES, name, identity, reterr);
    if (r == 0) {
        struct mqtt_dedup_item *items = xcalloc(MQTT_DEDUP_WINDOW, sizeof *items);
        size_t count = mqtt_dedup_list(session.dedup, next_lsn, items);
        for (size_t i = 0; i < count; i++)
            buffer_printf(dst, "ring %u %016" PRIx64 "\n", items[i].packet_id, items[i].hash);
        free(items);
    }
    mqtt_session_close(&session);
    return r;
}

static int put_spool(struct buffer *dst, const char *dir, const char *name, uint64_t identity,
                     struct error *reterr)
{
    _cleanup_free_ char *path = xasprintf("%s/" DIR_VARVE "/spool/%s", dir, name);
    struct spool *spool;
    struct spool_options options = {.path = path, .max_bytes = SPOOL_BYTES};
    int r = spool_open(&spool, &options, reterr);
    if (r < 0)
        return r;
    struct spool_stats stats;
    struct buffer records = {0};
    uint64_t damaged = 0;
    spool_get_stats(spool, &stats);
    r = put_records(&records, spool, &stats, &damaged, reterr);
    buffer_printf(dst, "spool %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", spool_id(spool),
                  stats.first_lsn, stats.next_lsn, stats.torn_bytes, damaged);
    buffer_append(dst, records.data, records.len);
    buffer_release(&records);
    if (r == 0)
        r = put_ring(dst, spool, stats.next_lsn, name, identity, reterr);
    spool_close(spool);
    return r;
}

/* --- a directory --- */

static int open_and_close(struct buffer *dst, const char *dir, const struct buffer *found, bool was_there,
                          struct error *reterr)
{
    struct error fatal = {0};
    struct storage_options options = {
        .path = dir,
        .retention_ms = 36500 * DAY_MS,
        .flush_interval_ms = 3600 * SECOND_MS,
        .merge_workers = 1,
        .hooks = {.context = &fatal, .fatal = on_fatal},
    };
    struct storage *st;
    struct buffer now = {0};
    int r = storage_open(&st, &options, reterr);
    if (r < 0)
        return r;
    storage_each_position(st, put_position, &now);
    r = put_rows(&now, reader_new(st), reterr);
    if (r == 0 && was_there)
        r = compare(found, &now, "opened", reterr);
    if (r == 0)
        r = put_rejects(dst, dir, storage_reject_log_length(st), reterr);
    buffer_release(&now);
    int closed = storage_close(st, r < 0 ? NULL : reterr);
    if (r == 0 && fatal.message[0])
        r = error_set(reterr, ERR_IO, "fatal: %s", fatal.message);
    return r < 0 ? r : closed;
}

static int tell(struct buffer *dst, const char *dir, const char *name, uint64_t identity,
                struct error *reterr)
{
    struct buffer found = {0}, later = {0};
    bool is_clean = true;
    _cleanup_free_ char *journal = xasprintf("%s/" FILE_JOURNAL, dir);
    _cleanup_free_ char *guard = xasprintf("%s/" FILE_GUARD, dir);
    _cleanup_free_ char *checkpoint = xasprintf("%s/" FILE_CHECKPOINT, dir);
    bool was_there = store_dir_is_store(dir) && fs_exists(checkpoint);
    int r = 0;
    buffer_printf(dst, "store %s\n", was_there ? "found" : "none");
    if (fs_exists(journal) && !fs_exists(guard))
        r = error_set(reterr, ERR_CORRUPT, "a journal without the guard");
    if (r == 0 && was_there)
        r = look(&found, dir, &is_clean, reterr);
    if (r == 0)
        r = open_and_close(dst, dir, &found, was_there, reterr);
    if (r == 0)
        r = look(&later, dir, &is_clean, reterr);
    if (r == 0 && !is_clean)
        r = error_set(reterr, ERR_CORRUPT, "not clean after a clean stop");
    if (r == 0 && was_there)
        r = compare(&found, &later, "after a clean stop", reterr);
    if (r == 0)
        r = put_spool(dst, dir, name, identity, reterr);
    buffer_append(dst, found.data, found.len);
    buffer_release(&found);
    buffer_release(&later);
    return r;
}

int main(void)
{
    _cleanup_free_ char *line = NULL;
    size_t capacity = 0;
    struct buffer answer = {0};
    for (ssize_t n; (n = getline(&line, &capacity, stdin)) > 0;) {
        char name[64], client[64], host[64], dir[4096];
        unsigned port;
        if (sscanf(line, "%63s %63s %63s %u %4095s", name, client, host, &port, dir) != 5) {
            fprintf(stderr, "usage: a line is SPOOL-NAME CLIENT-ID HOST PORT DIR\n");
            return 64;
        }
        struct error error = {0};
        buffer_clear(&answer);
        if (tell(&answer, dir, name, mqtt_session_identity(client, host, port, ""), &error) < 0) {
            for (char *p = error.message; (p = strchr(p, '\n'));)
                *p = '|';
            buffer_printf(&answer, "error %s\n", error.message);
        }
        buffer_append_str(&answer, "end\n");
        fwrite(answer.data, 1, answer.len, stdout);
        fflush(stdout);
    }
    buffer_release(&answer);
    return 0;
}
