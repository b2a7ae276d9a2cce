#include "storage/series/index_row.h"

#include "storage/series/metric_name.h"

static int bad_row(struct error *reterr, struct item item, const char *what)
{
    return error_set(reterr, ERR_CORRUPT, "index row of kind %u, %zu bytes: %s", item.data[0], item.len,
                     what);
}

/* canonical name · 02 · TSID. The name holds no byte 02, and each of its strings ends in 01. */
static int parse_name_tsid(struct index_row *row, struct item item, size_t pos, struct error *reterr)
{
    if (item.len < pos + 1 + TSID_SIZE || item.data[item.len - TSID_SIZE - 1] != INDEX_NAME_SEPARATOR)
        return bad_row(reterr, item, "no TSID at its end");
    row->name = (struct item){item.data + pos, item.len - TSID_SIZE - 1 - pos};
    tsid_get(&row->tsid, item.data + item.len - TSID_SIZE);
    row->metric_id = row->tsid.metric_id;
    return 0;
}

static int parse_tag(struct index_row *row, struct item item, size_t pos, struct error *reterr)
{
    struct item *strings[2] = {&row->key, &row->value};
    for (int i = 0; i < 2; i++) {
        size_t len;
        bool escapes;
        int r = metric_name_escaped_len(item.data + pos, item.len - pos, &len, &escapes, reterr);
        if (r < 0)
            return error_prefix(reterr, r, "index row of kind %u", item.data[0]);
        *strings[i] = (struct item){item.data + pos, len};
        pos += len + 1;
    }
    if (pos == item.len || (item.len - pos) % 8)
        return bad_row(reterr, item, "its ids aren't whole");
    row->prefix = (struct item){item.data, pos};
    row->ids = item.data + pos;
    row->ids_count = (item.len - pos) / 8;
    return 0;
}

int index_row_parse(struct index_row *ret_row, struct item item, struct error *reterr)
{
    if (item.len == 0)
        return error_set(reterr, ERR_CORRUPT, "empty index row");
    struct index_row row = {.kind = item.data[0]};
    size_t pos = 1;
    if (row.kind == INDEX_DATE_ID || row.kind == INDEX_DATE_TAG_IDS || row.kind == INDEX_DATE_NAME_TSID) {
        if (item.len < 9)
            return bad_row(reterr, item, "no date");
        row.date = get_be64(item.data + 1);
        pos = 9;
    }
    int r = 0;
    switch (row.kind) {
    case INDEX_NAME_TSID:
    case INDEX_DATE_NAME_TSID:
        r = parse_name_tsid(&row, item, pos, reterr);
        break;
    case INDEX_TAG_IDS:
    case INDEX_DATE_TAG_IDS:
        r = parse_tag(&row, item, pos, reterr);
        break;
    case INDEX_ID_TSID:
        if (item.len != 9 + TSID_SIZE)
            return bad_row(reterr, item, "another length");
        row.metric_id = get_be64(item.data + 1);
        tsid_get(&row.tsid, item.data + 9);
        if (row.tsid.metric_id != row.metric_id)
            return bad_row(reterr, item, "a TSID of another metric id");
        break;
    case INDEX_ID_NAME:
        if (item.len < 9)
            return bad_row(reterr, item, "no metric id");
        row.metric_id = get_be64(item.data + 1);
        row.name = (struct item){item.data + 9, item.len - 9};
        break;
    case INDEX_DELETED_ID:
        if (item.len != 9)
            return bad_row(reterr, item, "another length");
        row.metric_id = get_be64(item.data + 1);
        break;
    case INDEX_DATE_ID:
        if (item.len != 17)
            return bad_row(reterr, item, "another length");
        row.metric_id = get_be64(item.data + 9);
        break;
    default:
        return error_set(reterr, ERR_INVALID, "index row of unknown kind %u", item.data[0]);
    }
    if (r == 0)
        *ret_row = row;
    return r;
}

/* --- keys --- */

void index_key_kind(struct buffer *dst, enum index_kind kind)
{
    buffer_append_u8(dst, (uint8_t)kind);
}

static void append_be64(struct buffer *dst, uint64_t v)
{
    put_be64(buffer_reserve(dst, 8), v);
    dst->len += 8;
}

void index_key_number(struct buffer *dst, enum index_kind kind, uint64_t number)
{
    index_key_kind(dst, kind);
    append_be64(dst, number);
}

void index_key_date_id(struct buffer *dst, uint64_t date, uint64_t metric_id)
{
    index_key_number(dst, INDEX_DATE_ID, date);
    append_be64(dst, metric_id);
}

void index_key_date_name(struct buffer *dst, uint64_t date, const uint8_t *canonical, size_t len)
{
    index_key_number(dst, INDEX_DATE_NAME_TSID, date);
    buffer_append(dst, canonical, len);
    buffer_append_u8(dst, INDEX_NAME_SEPARATOR);
}

static void append_tag(struct buffer *dst, const void *key, size_t key_len, const void *value,
                       size_t value_len)
{
    metric_name_escape(dst, key, key_len);
    if (value)
        metric_name_escape(dst, value, value_len);
}

void index_key_tag(struct buffer *dst, const void *key, size_t key_len, const void *value, size_t value_len)
{
    index_key_kind(dst, INDEX_TAG_IDS);
    append_tag(dst, key, key_len, value, value_len);
}

void index_key_date_tag(struct buffer *dst, uint64_t date, const void *key, size_t key_len, const void *value,
                        size_t value_len)
{
    index_key_number(dst, INDEX_DATE_TAG_IDS, date);
    append_tag(dst, key, key_len, value, value_len);
}
