/*
 * From selectors to series (format 8.4): per month, ids by the tag rows of the narrowest equality, or all;
 * names by kind 3, TSIDs by kind 2; every matcher is then checked against the name itself.
 */
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "storage/mergeset/item_search.h"
#include "storage/search/reader.h"
#include "storage/series/index_row.h"
#include "storage/series/metric_id_set.h"

/* More ids than this are found faster by reading the rows of all. */
#define SEEK_IDS_MAX 4096
/* Index rows between two calls of the reader's check. */
#define CHECK_ROWS 256

struct found {
    const struct reader *reader;
    struct series_matches *matches;
    struct selector *const *selectors;
    size_t selectors_count;
    struct metric_name parsed;
};

void series_matches_release(struct series_matches *matches)
{
    free(matches->items);
    buffer_release(&matches->names);
    *matches = (struct series_matches){0};
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Calls fn for each row with the prefix. */
static int each_row(const struct reader *reader, struct item_search *search, const struct buffer *prefix,
                    int (*fn)(void *context, const struct index_row *row), void *context,
                    struct error *reterr)
{
    int r = item_search_first_with_prefix(search, prefix->data, prefix->len, reterr);
    for (size_t n = 0; r == 1; r = item_search_next(search, reterr), n++) {
        int asked = n % CHECK_ROWS ? 0 : reader_ask(reader, reterr);
        if (asked < 0)
            return asked;
        if (search->item.len < prefix->len || memcmp(search->item.data, prefix->data, prefix->len) != 0)
            return 0;
        struct index_row row;
        r = index_row_parse(&row, search->item, reterr);
        if (r == 0)
            r = fn(context, &row);
        if (r < 0)
            return r;
    }
    return r;
}

static int add_id(void *context, const struct index_row *row)
{
    metric_id_set_add(context, row->metric_id);
    return 0;
}

static int add_tag_ids(void *context, const struct index_row *row)
{
    for (size_t i = 0; i < row->ids_count; i++)
        metric_id_set_add(context, index_row_id(row, i));
    return 0;
}

static int ids_on_days(const struct reader *reader, struct item_search *search, int64_t start_ms,
                       int64_t end_ms, struct metric_id_set *ids, struct error *reterr)
{
    int r = 0;
    for (uint64_t date = (uint64_t)(start_ms / DAY_MS); date <= (uint64_t)(end_ms / DAY_MS) && r == 0;
         date++) {
        struct buffer prefix = {0};
        index_key_number(&prefix, INDEX_DATE_ID, date);
        r = each_row(reader, search, &prefix, add_id, ids, reterr);
        buffer_release(&prefix);
    }
    metric_id_set_sort(ids);
    return r;
}

/* Ids of the narrowest equality of each selector; *ret_all if one of them has none. */
static int candidate_ids(struct item_search *search, struct found *found, struct metric_id_set *ids,
                         bool *ret_all, struct error *reterr)
{
    *ret_all = found->selectors_count == 0;
    for (size_t i = 0; i < found->selectors_count && !*ret_all; i++) {
        const struct matcher *m = selector_narrowest(found->selectors[i]);
        if (!m) {
            *ret_all = true;
            break;
        }
        const char *key = strcmp(m->label, "__name__") == 0 ? "" : m->label;
        struct buffer prefix = {0};
        index_key_tag(&prefix, key, strlen(key), m->value, m->value_len);
        int r = each_row(found->reader, search, &prefix, add_tag_ids, ids, reterr);
        buffer_release(&prefix);
        if (r < 0)
            return r;
    }
    metric_id_set_sort(ids);
    return 0;
}

/* 1 if the name matches, 0 if not. */
static int name_matches(struct found *found, struct item name, struct error *reterr)
{
    int r = metric_name_parse(&found->parsed, name.data, name.len, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < found->selectors_count; i++)
        if ((r = selector_matches(found->selectors[i], &found->parsed, reterr)) != 0)
            return r;
    return found->selectors_count == 0;
}

/* Names are kept as offsets until all are there: the arena may move. */
static void add_match(struct series_matches *matches, struct item name)
{
    GROW(matches->items, matches->count, matches->capacity);
    matches->items[matches->count++] =
        (struct series_match){.name = {(const uint8_t *)matches->names.len, name.len}};
    buffer_append(&matches->names, name.data, name.len);
}

struct names_scan {
    struct found *found;
    const struct metric_id_set *wanted, *days, *deleted; /* wanted, days: NULL for all */
    struct metric_id_set *matched;                       /* ids, in step with the matches added */
    struct error *reterr;
};

static int take_name(void *context, const struct index_row *row)
{
    struct names_scan *scan = context;
    if ((scan->wanted && !metric_id_set_has(scan->wanted, row->metric_id)) ||
        (scan->days && !metric_id_set_has(scan->days, row->metric_id)) ||
        metric_id_set_has(scan->deleted, row->metric_id))
        return 0;
    if (scan->matched->count && scan->matched->ids[scan->matched->count - 1] == row->metric_id)
        return 0; /* the same row in another part */
    int r = name_matches(scan->found, row->name, scan->reterr);
    if (r == 1) {
        add_match(scan->found->matches, row->name);
        metric_id_set_add(scan->matched, row->metric_id);
    }
    return r < 0 ? r : 0;
}

static int scan_names(struct item_search *search, struct names_scan *scan)
{
    struct buffer prefix = {0};
    int r = 0;
    if (scan->wanted && scan->wanted->count <= SEEK_IDS_MAX) {
        for (size_t i = 0; i < scan->wanted->count && r == 0; i++) {
            buffer_clear(&prefix);
            index_key_number(&prefix, INDEX_ID_NAME, scan->wanted->ids[i]);
            r = each_row(scan->found->reader, search, &prefix, take_name, scan, scan->reterr);
        }
    } else {
        index_key_kind(&prefix, INDEX_ID_NAME);
        r = each_row(scan->found->reader, search, &prefix, take_name, scan, scan->reterr);
    }
    buffer_release(&prefix);
    return r;
}

struct tsids_scan {
    const struct reader *reader;
    const struct metric_id_set *ids; /* ascending */
    struct series_match *matches;
};

static int take_tsid(void *context, const struct index_row *row)
{
    struct tsids_scan *scan = context;
    const uint64_t *at = scan->ids->count ? bsearch(&row->metric_id, scan->ids->ids, scan->ids->count,
                                                    sizeof *scan->ids->ids, compare_ids)
                                          : NULL;
    if (at)
        scan->matches[at - scan->ids->ids].tsid = row->tsid;
    return 0;
}

static int scan_tsids(struct item_search *search, struct tsids_scan *scan, struct error *reterr)
{
    struct buffer prefix = {0};
    int r = 0;
    if (scan->ids->count <= SEEK_IDS_MAX) {
        for (size_t i = 0; i < scan->ids->count && r == 0; i++) {
            buffer_clear(&prefix);
            index_key_number(&prefix, INDEX_ID_TSID, scan->ids->ids[i]);
            r = each_row(scan->reader, search, &prefix, take_tsid, scan, reterr);
        }
    } else {
        index_key_kind(&prefix, INDEX_ID_TSID);
        r = each_row(scan->reader, search, &prefix, take_tsid, scan, reterr);
    }
    buffer_release(&prefix);
    return r;
}

static int match_month(const struct reader_month *m, struct found *found, int64_t start_ms, int64_t end_ms,
                       bool days, struct error *reterr)
{
    struct item_source *sources = xcalloc(m->index.count, sizeof *sources);
    for (size_t i = 0; i < m->index.count; i++)
        sources[i] = part_item_source(m->index.parts[i]);
    struct item_search search;
    item_search_init(&search, sources, m->index.count);
    struct metric_id_set wanted = {0}, on_days = {0}, deleted = {0}, matched = {0};
    bool all = false;
    bool part_of_month = days && (start_ms > m->month.min_ms || end_ms < m->month.max_ms);
    size_t first = found->matches->count;
    int r = metric_id_set_load_deleted(&deleted, &search, reterr);
    if (r == 0)
        r = candidate_ids(&search, found, &wanted, &all, reterr);
    if (r == 0 && part_of_month)
        r = ids_on_days(found->reader, &search, start_ms > m->month.min_ms ? start_ms : m->month.min_ms,
                        end_ms < m->month.max_ms ? end_ms : m->month.max_ms, &on_days, reterr);
    struct names_scan names = {
        found, all ? NULL : &wanted, part_of_month ? &on_days : NULL, &deleted, &matched, reterr};
    if (r == 0)
        r = scan_names(&search, &names);
    struct tsids_scan tsids = {found->reader, &matched, matched.count ? found->matches->items + first : NULL};
    if (r == 0 && matched.count)
        r = scan_tsids(&search, &tsids, reterr);
    metric_id_set_release(&wanted);
    metric_id_set_release(&on_days);
    metric_id_set_release(&deleted);
    metric_id_set_release(&matched);
    item_search_release(&search);
    free(sources);
    if (r == ERR_CANCELLED || r == ERR_INVALID) /* by the check, or the selector's fault */
        return r;
    return r < 0 ? error_prefix(reterr, r, "index of %s", m->month.name) : 0;
}

static int compare_matches(const void *a, const void *b)
{
    const struct series_match *x = a, *y = b;
    int c = item_compare(x->name, y->name);
    return c ? c : tsid_compare(&x->tsid, &y->tsid);
}

static void sort_matches(struct series_matches *matches)
{
    for (size_t i = 0; i < matches->count; i++)
        matches->items[i].name.data = matches->names.data + (uintptr_t)matches->items[i].name.data;
    if (!matches->count)
        return;
    qsort(matches->items, matches->count, sizeof *matches->items, compare_matches);
    size_t kept = 1;
    for (size_t i = 1; i < matches->count; i++)
        if (compare_matches(&matches->items[i], &matches->items[kept - 1]) != 0)
            matches->items[kept++] = matches->items[i];
    matches->count = kept;
}

int series_match(const struct reader *r, struct selector *const *selectors, size_t selectors_count,
                 int64_t start_ms, int64_t end_ms, bool days, struct series_matches *ret,
                 struct error *reterr)
{
    struct found found = {
        .reader = r, .matches = ret, .selectors = selectors, .selectors_count = selectors_count};
    int rc = 0;
    for (size_t i = 0; i < r->months_count && rc == 0; i++) {
        const struct reader_month *m = &r->months[i];
        if (m->month.max_ms >= start_ms && m->month.min_ms <= end_ms)
            rc = match_month(m, &found, start_ms, end_ms, days, reterr);
    }
    metric_name_release(&found.parsed);
    if (rc == 0)
        sort_matches(ret);
    return rc;
}
