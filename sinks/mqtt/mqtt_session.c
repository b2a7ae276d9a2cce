#include "sinks/mqtt/mqtt_session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "sinks/mqtt/mqtt_session_file.h"
#include "sinks/mqtt/spool_reader.h"
#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "src/base/fault_point.h"
#include "src/base/log.h"

#define CHUNK_BYTES       (256 * 1024)
#define TRIM_SHARE        16 /* of the spool's bound */
#define TRIM_BYTES_MAX    (4u * 1024 * 1024)
#define WIDER             8 /* so many times more records, if too few of them were above QoS 0 */
#define DURABLE_WAIT_MS   10000
#define FAILURE_REPEAT_MS 60000

uint64_t mqtt_session_identity(const char *client_id, const char *host, unsigned port, const char *path)
{
    struct buffer text = {0};
    buffer_printf(&text, "%s:%u%s %s", host, port, path, client_id);
    uint64_t identity = XXH64(text.data, text.len, 0);
    buffer_release(&text);
    return identity;
}

static uint64_t next_lsn(struct spool *spool)
{
    struct spool_stats stats;
    spool_get_stats(spool, &stats);
    return stats.next_lsn;
}

/* --- the file --- */

/* ERR_NOT_FOUND if there is none, ERR_CORRUPT if it's damaged. */
static int read_state(struct mqtt_session *e, struct mqtt_session_state *ret, struct error *reterr)
{
    _cleanup_close_ int fd = openat(spool_dir_fd(e->spool), MQTT_SESSION_FILE, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(reterr, errno, "cannot open the spool's file %s", MQTT_SESSION_FILE);
    _cleanup_free_ uint8_t *data = xmalloc(MQTT_SESSION_SIZE_MAX + 1);
    size_t size = 0;
    while (size <= MQTT_SESSION_SIZE_MAX) {
        ssize_t n = read(fd, data + size, MQTT_SESSION_SIZE_MAX + 1 - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(reterr, errno, "cannot read the spool's file %s", MQTT_SESSION_FILE);
        if (n == 0)
            break;
        size += (size_t)n;
    }
    if (!mqtt_session_parse(data, size, ret))
        return error_set(reterr, ERR_CORRUPT, "the spool's file %s is damaged", MQTT_SESSION_FILE);
    return 0;
}

static int save(struct mqtt_session *e, struct error *reterr) REQUIRES(e->save_lock)
{
    struct mqtt_session_state state = {
        .identity = e->identity,
        .first_lsn = e->first_lsn,
        .end_lsn = spool_durable_lsn(e->spool),
        .items = xcalloc(MQTT_DEDUP_WINDOW, sizeof *state.items),
    };
    struct buffer bytes = {0};
    mutex_lock(&e->lock);
    state.counts_up = mqtt_dedup_counts_up(e->dedup);
    state.items_count = mqtt_dedup_list(e->dedup, state.end_lsn, state.items);
    mutex_unlock(&e->lock);
    mqtt_session_encode(&bytes, &state);
    int r = spool_fs_replace(spool_filesystem(e->spool), spool_dir_fd(e->spool), MQTT_SESSION_FILE,
                             bytes.data, bytes.len);
    buffer_release(&bytes);
    if (r == 0) {
        e->saved_end_lsn = state.end_lsn;
        e->saved_counts_up = state.counts_up;
        e->is_unsaved = false;
        FAULT_POINT("mqtt_session_saved");
    }
    mqtt_session_state_release(&state);
    return r < 0 ? error_set_errno(reterr, -r, "cannot write the spool's file %s", MQTT_SESSION_FILE) : 0;
}

static void say_failure(struct mqtt_session *e, const struct error *error) REQUIRES(e->save_lock)
{
    int64_t now = clock_monotonic_ms();
    if (e->failure_said_ms && now - e->failure_said_ms < FAILURE_REPEAT_MS)
        return;
    e->failure_said_ms = now;
    log_error("sink %s: %s; the spool isn't trimmed until it can be written", e->sink_name, error->message);
}

/* --- at the start --- */

/* Records from lsn on into the ring -> how many of them are above QoS 0. */
static int restore_records(struct mqtt_session *e, uint64_t lsn, uint64_t end, size_t *ret_count,
                           struct error *reterr)
{
    struct spool_reader reader;
    int r = 0;
    *ret_count = 0;
    spool_reader_init(&reader, e->spool, lsn);
    while (r >= 0 && reader.next_lsn < end) {
        uint64_t before = reader.next_lsn;
        r = spool_reader_read(&reader, CHUNK_BYTES, reterr);
        if (reader.next_lsn == before)
            break;
        for (int i = 0; i < r; i++) {
            const struct spool_record *record = &reader.records[i];
            if (!record->qos || !record->packet_id)
                continue;
            struct mqtt_dedup_message m = mqtt_dedup_message_of(record);
            mqtt_dedup_restore(e->dedup, &m, record->lsn);
            ++*ret_count;
        }
    }
    spool_reader_release(&reader);
    return r < 0 ? r : 0;
}

static int restore(struct mqtt_session *e, const struct mqtt_session_state *state, struct error *reterr)
{
    uint64_t end = next_lsn(e->spool),
             least = state->first_lsn > state->end_lsn ? state->first_lsn : state->end_lsn;
    for (uint64_t records = MQTT_DEDUP_WINDOW;; records *= WIDER) {
        uint64_t from = end > least && end - least > records ? end - records : least;
        size_t count;
        mqtt_dedup_clear(e->dedup);
        mqtt_dedup_set_counts_up(e->dedup, state->counts_up);
        for (size_t i = 0; from == least && i < state->items_count; i++) {
            const struct mqtt_dedup_item *item = &state->items[i];
            struct mqtt_dedup_message m = {
                .hash = item->hash, .packet_id = item->packet_id, .qos = item->qos, .dup = true};
            mqtt_dedup_restore(e->dedup, &m, state->end_lsn ? state->end_lsn - 1 : 0);
        }
        int r = restore_records(e, from, end, &count, reterr);
        if (r < 0 || from == least || count >= MQTT_DEDUP_WINDOW)
            return r;
    }
}

static int load(struct mqtt_session *e, struct error *reterr)
{
    struct mqtt_session_state state = {0};
    struct error error = {0};
    int r = read_state(e, &state, &error);
    e->is_known = r == 0 && state.identity == e->identity;
    if (r == ERR_CORRUPT)
        log_error("sink %s: %s: of the messages that the broker sends again now, some may be stored twice",
                  e->sink_name, error.message);
    else if (r < 0 && r != ERR_NOT_FOUND)
        return error_set(reterr, r, "%s", error.message);
    else if (r == 0 && !e->is_known)
        log_info("sink %s: client_id or broker were changed: it's another session", e->sink_name);
    e->is_unsaved = !e->is_known;
    if (r != ERR_NOT_FOUND && !e->is_known) {
        e->first_lsn = e->saved_end_lsn = next_lsn(e->spool);
        mqtt_session_state_release(&state);
        return 0;
    }
    e->first_lsn = state.first_lsn;
    e->saved_end_lsn = state.end_lsn;
    e->saved_counts_up = state.counts_up;
    r = restore(e, &state, reterr);
    mqtt_session_state_release(&state);
    return r;
}

int mqtt_session_open(struct mqtt_session *e, struct spool *spool, uint64_t spool_max_bytes,
                      const char *sink_name, uint64_t identity, struct error *reterr)
{
    uint64_t share = spool_max_bytes / TRIM_SHARE;
    *e = (struct mqtt_session){.spool = spool,
                               .sink_name = sink_name,
                               .trim_bytes = share < TRIM_BYTES_MAX ? share : TRIM_BYTES_MAX,
                               .dedup = mqtt_dedup_new(),
                               .identity = identity};
    mutex_init(&e->lock, RANK_LEAF);
    mutex_init(&e->save_lock, RANK_SINK);
    return load(e, reterr);
}

void mqtt_session_close(struct mqtt_session *e)
{
    if (!e->dedup)
        return;
    mutex_destroy(&e->lock);
    mutex_destroy(&e->save_lock);
    mqtt_dedup_free(e->dedup);
    e->dedup = NULL;
}

/* --- connections --- */

void mqtt_session_connected(struct mqtt_session *e, bool is_present)
{
    mutex_lock(&e->lock);
    if (!is_present) {
        mqtt_dedup_clear(e->dedup);
        e->is_new = true;
    }
    mqtt_dedup_connected(e->dedup, is_present);
    mutex_unlock(&e->lock);
}

/* Records of the old session are durable before the file says where the new one begins: what isn't could be
 * given up, and its LSNs used again. */
static int begin_new(struct mqtt_session *e, struct error *reterr) REQUIRES(e->save_lock)
{
    uint64_t first = next_lsn(e->spool);
    if (!spool_wait_durable(e->spool, first - 1, DURABLE_WAIT_MS) && spool_durable_lsn(e->spool) < first)
        return error_set(reterr, ERR_IO, "the disk is too slow: the spool isn't written yet");
    e->first_lsn = first;
    int r = save(e, reterr);
    if (r == 0) {
        mutex_lock(&e->lock);
        e->is_new = false;
        mutex_unlock(&e->lock);
    }
    return r;
}

int mqtt_session_begin(struct mqtt_session *e, bool *ret_is_lost, struct error *reterr)
{
    int r = 0;
    mutex_lock(&e->save_lock);
    mutex_lock(&e->lock);
    bool is_new = e->is_new;
    mutex_unlock(&e->lock);
    *ret_is_lost = is_new && e->is_known;
    e->is_known = !is_new;
    if (is_new)
        r = begin_new(e, reterr);
    else if (e->is_unsaved)
        r = save(e, reterr);
    if (r == 0)
        e->is_known = true;
    mutex_unlock(&e->save_lock);
    return r;
}

/* --- messages --- */

enum mqtt_dedup_verdict mqtt_session_judge(struct mqtt_session *e, const struct mqtt_dedup_message *m,
                                           uint64_t *ret_lsn)
{
    if (FAULT_SWITCH("mqtt_no_ring"))
        return MQTT_DEDUP_STORE;
    mutex_lock(&e->lock);
    enum mqtt_dedup_verdict verdict = mqtt_dedup_judge(e->dedup, m, ret_lsn);
    mutex_unlock(&e->lock);
    return verdict;
}

void mqtt_session_stored(struct mqtt_session *e, const struct mqtt_dedup_message *m, uint64_t lsn)
{
    int64_t now_ms = clock_monotonic_ms();
    mutex_lock(&e->lock);
    mqtt_dedup_stored(e->dedup, m, lsn, now_ms);
    mutex_unlock(&e->lock);
}

void mqtt_session_answered(void *context, uint16_t packet_id, uint64_t lsn)
{
    struct mqtt_session *e = context;
    int64_t now_ms = clock_monotonic_ms();
    mutex_lock(&e->lock);
    mqtt_dedup_answered(e->dedup, packet_id, lsn, now_ms);
    mutex_unlock(&e->lock);
}

void mqtt_session_completed(void *context, uint16_t packet_id)
{
    struct mqtt_session *e = context;
    int64_t now_ms = clock_monotonic_ms();
    mutex_lock(&e->lock);
    mqtt_dedup_completed(e->dedup, packet_id, now_ms);
    mutex_unlock(&e->lock);
}

/* --- the spool --- */

void mqtt_session_forget_undurable(struct mqtt_session *e)
{
    uint64_t end = next_lsn(e->spool);
    mutex_lock(&e->lock);
    mqtt_dedup_discard_from(e->dedup, end);
    mutex_unlock(&e->lock);
}

void mqtt_session_trim(struct mqtt_session *e, uint64_t lsn, bool is_final)
{
    struct error error = {0};
    if (spool_trimmable(e->spool, lsn) < (is_final ? 1 : e->trim_bytes))
        return;
    mutex_lock(&e->save_lock);
    mutex_lock(&e->lock);
    bool is_due = mqtt_dedup_has_between(e->dedup, e->saved_end_lsn, lsn);
    mutex_unlock(&e->lock);
    int r = is_due ? save(e, &error) : 0;
    if (r < 0)
        say_failure(e, &error);
    mutex_unlock(&e->save_lock);
    if (r == 0)
        spool_trim(e->spool, lsn);
}

void mqtt_session_keep_learned(struct mqtt_session *e)
{
    struct error error = {0};
    mutex_lock(&e->save_lock);
    if (e->is_known && mqtt_session_counts_up(e) != e->saved_counts_up && save(e, &error) < 0)
        say_failure(e, &error);
    mutex_unlock(&e->save_lock);
}

bool mqtt_session_counts_up(struct mqtt_session *e)
{
    mutex_lock(&e->lock);
    bool counts_up = mqtt_dedup_counts_up(e->dedup);
    mutex_unlock(&e->lock);
    return counts_up;
}
