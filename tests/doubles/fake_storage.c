#include "tests/doubles/fake_storage.h"

#include <stdio.h>
#include <stdlib.h>

#include "src/base/alloc.h"

/* A caller's fault ends the test in a release build too, where assert() is nothing. */
#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __LINE__))

static _Noreturn void check_failed(const char *condition, int line)
{
    fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, line, condition);
    abort();
}

struct storage_writer {
    struct storage *st;
    bool is_open;
};

void fake_storage_init(struct storage *st)
{
    *st = (struct storage){.min_ms = 0, .max_ms = INT64_MAX / 2, .keep_rows = true};
}

void fake_storage_release(struct storage *st)
{
    for (size_t i = 0; i < st->series_count; i++)
        free(st->series[i]);
    free(st->series);
    free(st->rows);
}

struct storage_writer *storage_writer_new(struct storage *st)
{
    struct storage_writer *w = xcalloc(1, sizeof *w);
    w->st = st;
    return w;
}

void storage_writer_free(struct storage_writer *w)
{
    CHECK(!w->is_open);
    free(w);
}

uint64_t storage_writer_series_generation(const struct storage_writer *w)
{
    return w->st->series_generation;
}

void storage_writer_begin(struct storage_writer *w)
{
    CHECK(!w->is_open);
    w->is_open = true;
}

void storage_writer_end(struct storage_writer *w)
{
    CHECK(w->is_open);
    w->is_open = false;
}

void storage_writer_limits(const struct storage_writer *w, int64_t *ret_min_ms, int64_t *ret_max_ms)
{
    *ret_min_ms = w->st->min_ms;
    *ret_max_ms = w->st->max_ms;
}

static struct fake_position *find(struct storage *st, const void *key, uint32_t key_len)
{
    for (size_t i = 0; i < st->positions_count; i++) {
        if (st->positions[i].key_len == key_len && memcmp(st->positions[i].key, key, key_len) == 0)
            return &st->positions[i];
    }
    return NULL;
}

void storage_set_position(struct storage *st, const void *key, uint32_t key_len,
                          const struct storage_position *pos)
{
    struct fake_position *p = find(st, key, key_len);
    if (!p) {
        CHECK(st->positions_count < 16 && key_len <= sizeof p->key);
        p = &st->positions[st->positions_count++];
        memcpy(p->key, key, key_len);
        p->key_len = key_len;
    }
    p->position = *pos;
}

int storage_writer_hand_over(struct storage_writer *w, const void *key, uint32_t key_len, uint64_t from,
                             const struct storage_position *to, struct error *reterr)
{
    CHECK(w->is_open);
    const struct fake_position *p = find(w->st, key, key_len);
    if (p && p->position.next != from)
        return error_set(reterr, ERR_INVALID, "not the position stored");
    storage_set_position(w->st, key, key_len, to);
    return 0;
}

void storage_writer_set_name_apart(struct storage_writer *w)
{
    w->st->name_is_apart = true;
}

int storage_writer_series(struct storage_writer *w, const struct metric_label *labels, size_t labels_count,
                          int64_t timestamp_ms, uint32_t *ret_series, const char **ret_reason)
{
    struct storage *st = w->st;
    struct buffer text = {0};
    CHECK(timestamp_ms >= st->min_ms && timestamp_ms <= st->max_ms);
    st->series_calls++;
    for (size_t i = 0; i < labels_count; i++) {
        buffer_append(&text, labels[i].name, labels[i].name_len);
        buffer_append_u8(&text, '=');
        if (st->refuse_value && labels[i].value_len == strlen(st->refuse_value) &&
            memcmp(labels[i].value, st->refuse_value, labels[i].value_len) == 0) {
            buffer_release(&text);
            *ret_reason = "too_long_label_value";
            return ERR_INVALID;
        }
        buffer_append(&text, labels[i].value, labels[i].value_len);
        buffer_append_u8(&text, ';');
    }
    uint32_t at = st->keep_rows ? 0 : (uint32_t)st->series_count; /* a benchmark's are all new */
    while (at < st->series_count && strcmp(st->series[at], buffer_cstr(&text)) != 0)
        at++;
    if (at == st->series_count) {
        GROW(st->series, st->series_count, st->series_capacity);
        st->series[st->series_count++] = xstrdup(buffer_cstr(&text));
    }
    buffer_release(&text);
    *ret_series = at;
    return 0;
}

void storage_writer_register_day(struct storage_writer *w, uint32_t series, int64_t timestamp_ms)
{
    CHECK(series < w->st->series_count);
    CHECK(timestamp_ms >= w->st->min_ms && timestamp_ms <= w->st->max_ms);
    w->st->day_calls++;
}

enum storage_row_fate storage_writer_add(struct storage_writer *w, uint32_t series, int64_t timestamp_ms,
                                         struct decimal value)
{
    struct storage *st = w->st;
    CHECK(w->is_open && series < st->series_count);
    if (timestamp_ms < st->min_ms)
        return ROW_TOO_OLD;
    if (st->keep_rows) {
        GROW(st->rows, st->rows_count, st->rows_capacity);
        st->rows[st->rows_count] = (struct fake_row){series, timestamp_ms, value};
    }
    st->rows_count++;
    return ROW_ADDED;
}

bool storage_position(struct storage *st, const void *key, uint32_t key_len, struct storage_position *ret)
{
    const struct fake_position *p = find(st, key, key_len);
    if (p)
        *ret = p->position;
    return p != NULL;
}

bool storage_durable_position(struct storage *st, const void *key, uint32_t key_len,
                              struct storage_position *ret)
{
    const struct fake_position *p = find(st, key, key_len);
    if (!p || !p->is_durable)
        return false;
    *ret = p->durable;
    return true;
}

void storage_each_position(struct storage *st,
                           void (*visit)(void *context, const void *key, uint32_t key_len,
                                         const struct storage_position *pos),
                           void *context)
{
    for (size_t i = 0; i < st->positions_count; i++)
        visit(context, st->positions[i].key, st->positions[i].key_len, &st->positions[i].position);
}

int storage_flush(struct storage *st, int64_t timeout_ms, struct error *reterr)
{
    (void)timeout_ms;
    if (st->flush_result < 0)
        return error_set(reterr, st->flush_result, "as the test wants it");
    for (size_t i = 0; i < st->positions_count; i++) {
        st->positions[i].durable = st->positions[i].position;
        st->positions[i].is_durable = true;
    }
    st->commit_number++;
    return 0;
}

int storage_discard_uncommitted(struct storage *st, int64_t timeout_ms, struct error *reterr)
{
    (void)st;
    (void)timeout_ms;
    return error_set(reterr, ERR_CANCELLED, "the fake keeps what it has");
}

bool storage_discard_is_due(struct storage *st)
{
    (void)st;
    return false;
}

int64_t storage_undecided_ms(struct storage *st)
{
    (void)st;
    return -1;
}

uint64_t storage_commit_number(struct storage *st)
{
    return st->commit_number;
}

const char *storage_id(struct storage *st)
{
    (void)st;
    return "000102030405060708090a0b0c0d0e0f";
}
