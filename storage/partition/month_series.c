#include "storage/partition/month_series.h"

#include <stdlib.h>

#include "src/base/alloc.h"
#include "src/base/clock.h"
#include "storage/series/index_row.h"

struct month_series *month_series_new(struct partition *pt)
{
    struct month_series *m = xcalloc(1, sizeof *m);
    m->pt = pt;
    return m;
}

void month_series_free(struct month_series *m)
{
    for (size_t k = 0; k < m->days_count; k++) {
        series_set_release(&m->days[k].series);
        day_load_free(m->days[k].load);
    }
    series_set_release(&m->series);
    metric_id_set_release(&m->deleted);
    free(m->days);
    free(m);
}

struct day *month_series_day(struct month_series *m, uint64_t date)
{
    for (size_t i = m->days_count; i-- > 0;)
        if (m->days[i].date == date)
            return &m->days[i];
    return NULL;
}

struct day *month_series_add_day(struct month_series *m, uint64_t date)
{
    GROW(m->days, m->days_count, m->days_capacity);
    struct day *day = &m->days[m->days_count++];
    *day = (struct day){.date = date, .load = day_load_new(m->pt, date)};
    m->loads_count++;
    return day;
}

void month_series_day_loaded(struct month_series *m, struct day *day)
{
    day_load_free(day->load);
    day->load = NULL;
    m->loads_count--;
}

int month_series_learn(struct month_series *m, struct day *day, struct series_registry *registry,
                       const struct loaded_rows *rows, struct error *reterr)
{
    for (size_t i = 0; i < rows->count; i++) {
        const struct loaded_row *row = &rows->rows[i];
        const uint8_t *name = rows->names.data + row->name_offset;
        if (metric_id_set_has(&m->deleted, row->tsid.metric_id))
            continue;
        uint32_t series;
        int r = series_registry_add(registry, name, row->name_len, row->hash, &row->tsid, &series, reterr);
        if (r < 0)
            return r;
        /* Known under another id, from another month or day: that id goes on, and is registered here when
         * it's needed. */
        if (r == 0 && series_registry_tsid(registry, series).metric_id != row->tsid.metric_id)
            continue;
        series_set_add(&day->series, series);
        series_set_add(&m->series, series);
    }
    return 0;
}

int month_series_learn_name(struct month_series *m, struct day *day, struct series_registry *registry,
                            struct item name, struct loaded_rows *scratch, struct error *reterr)
{
    int r = 0;
    if (day->load) {
        r = day_load_find(day->load, name, scratch, reterr);
        if (r == 0)
            r = month_series_learn(m, day, registry, scratch, reterr);
        if (r < 0 || scratch->count)
            return r;
    }
    for (size_t i = 0; i < m->days_count && r == 0; i++) {
        struct day *other = &m->days[i];
        if (!other->load || other->date >= day->date)
            continue;
        r = day_load_find(other->load, name, scratch, reterr);
        if (r == 0)
            r = month_series_learn(m, other, registry, scratch, reterr);
    }
    return r;
}

int month_series_day_before(const struct month_series *m, uint64_t date, struct index_scan *scan,
                            uint64_t *ret_date, struct error *reterr)
{
    uint64_t first = (uint64_t)(m->pt->month.min_ms / DAY_MS);
    *ret_date = 0;
    for (uint64_t d = date; d > first;) {
        struct buffer prefix = {0};
        index_key_number(&prefix, INDEX_DATE_ID, --d);
        int r = item_search_first_with_prefix(&scan->search, prefix.data, prefix.len, reterr);
        buffer_release(&prefix);
        if (r < 0)
            return r;
        if (r == 1) {
            *ret_date = d;
            return 0;
        }
    }
    return 0;
}
