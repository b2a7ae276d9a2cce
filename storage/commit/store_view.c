#include "storage/commit/store_view.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/fault_point.h"
#include "storage/partition/parts_json.h"

static char *month_dir(const struct store_view *view, enum part_place place, const char *month)
{
    return xasprintf("%s/" DIR_DATA "/%s/%s", view->root, part_place_dir(place), month);
}

void store_view_release(struct store_view *view)
{
    for (size_t i = 0; i < view->months_count; i++) {
        struct view_month *m = &view->months[i];
        for (size_t k = 0; k < m->parts_count; k++) {
            free(m->parts[k].name);
            free(m->parts[k].dir);
        }
        free(m->parts);
    }
    free(view->months);
    checkpoint_release(&view->state);
    journal_records_release(&view->journal);
    prepared_record_release(&view->prepared);
    free(view->root);
    *view = (struct store_view){0};
}

static struct view_month *find_month(struct store_view *view, const struct month *month)
{
    size_t i = 0;
    while (i < view->months_count && view->months[i].month.min_ms < month->min_ms)
        i++;
    if (i < view->months_count && view->months[i].month.min_ms == month->min_ms)
        return &view->months[i];
    GROW(view->months, view->months_count, view->months_capacity);
    memmove(&view->months[i + 1], &view->months[i], (view->months_count - i) * sizeof *view->months);
    view->months_count++;
    view->months[i] = (struct view_month){.month = *month};
    return &view->months[i];
}

static struct view_part *find_part(struct view_month *m, enum part_place place, const char *name)
{
    for (size_t i = 0; i < m->parts_count; i++)
        if (m->parts[i].place == place && strcmp(m->parts[i].name, name) == 0)
            return &m->parts[i];
    return NULL;
}

/* Takes over dir. */
static struct view_part *add_part(struct view_month *m, enum part_place place, const char *name, char *dir)
{
    GROW(m->parts, m->parts_count, m->parts_capacity);
    struct view_part *part = &m->parts[m->parts_count++];
    *part = (struct view_part){.place = place, .name = xstrdup(name), .dir = dir};
    return part;
}

static int add_listed(struct store_view *view, struct view_month *m, enum part_place place,
                      const struct name_list *names, struct error *reterr)
{
    for (size_t i = 0; i < names->count; i++) {
        _cleanup_free_ char *dir = month_dir(view, place, m->month.name);
        char *path = xasprintf("%s/%s", dir, names->names[i]);
        if (!fs_is_dir(path)) {
            int r =
                error_set(reterr, ERR_CORRUPT, "%s: parts.json lists this part, but it isn't there", path);
            free(path);
            return r;
        }
        add_part(m, place, names->names[i], path);
    }
    return 0;
}

/* Without a parts.json every directory counts, as in a stock server (format 11.3). */
static int list_dirs(const char *dir, struct name_list *names, struct error *reterr)
{
    if (!fs_is_dir(dir))
        return 0;
    struct fs_list list;
    int r = fs_list_dir(&list, dir, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < list.count; i++) {
        _cleanup_free_ char *path = xasprintf("%s/%s", dir, list.names[i]);
        if (fs_is_dir(path) && strcmp(list.names[i], "tmp") != 0 && strcmp(list.names[i], "txn") != 0 &&
            strcmp(list.names[i], DIR_SNAPSHOTS) != 0)
            name_list_add(names, list.names[i]);
    }
    fs_list_release(&list);
    return 0;
}

/* What a month's parts.json lists. *ret_unlisted: there are parts, but no such file. */
static int read_lists(const struct store_view *view, const char *month, bool index,
                      struct name_list lists[PART_PLACES], bool *ret_unlisted, struct error *reterr)
{
    _cleanup_free_ char *dir = month_dir(view, index ? PLACE_INDEX : PLACE_SMALL, month);
    _cleanup_free_ char *path = xasprintf("%s/" FILE_PARTS_JSON, dir);
    struct buffer text = {0};
    int r;
    if (!fs_exists(path)) {
        r = list_dirs(dir, &lists[index ? PLACE_INDEX : PLACE_SMALL], reterr);
        if (r == 0 && !index) {
            _cleanup_free_ char *big = month_dir(view, PLACE_BIG, month);
            r = list_dirs(big, &lists[PLACE_BIG], reterr);
        }
        *ret_unlisted =
            index ? lists[PLACE_INDEX].count > 0 : lists[PLACE_SMALL].count > 0 || lists[PLACE_BIG].count > 0;
        return r;
    }
    r = fs_read_file(path, PARTS_JSON_BYTES_MAX, &text, reterr);
    if (r == 0) {
        r = index ? parts_json_parse_index((const char *)text.data, text.len, &lists[PLACE_INDEX], reterr)
                  : parts_json_parse_data((const char *)text.data, text.len, &lists[PLACE_SMALL],
                                          &lists[PLACE_BIG], reterr);
        if (r < 0)
            r = error_prefix(reterr, r, "%s", path);
    }
    buffer_release(&text);
    return r;
}

static int load_month(struct store_view *view, const struct month *month, struct error *reterr)
{
    struct view_month *m = find_month(view, month);
    struct name_list lists[PART_PLACES] = {0};
    /* Recovery writes a list that is missing: without one a merge that is cut off would count as a part. */
    int r = read_lists(view, month->name, false, lists, &m->changed[PLACE_SMALL], reterr);
    if (r == 0)
        r = read_lists(view, month->name, true, lists, &m->changed[PLACE_INDEX], reterr);
    for (int place = 0; place < PART_PLACES; place++) {
        if (r == 0)
            r = add_listed(view, m, (enum part_place)place, &lists[place], reterr);
        name_list_release(&lists[place]);
    }
    return r;
}

static int load_months(struct store_view *view, struct error *reterr)
{
    struct name_list months = {0};
    int r = 0;
    for (int place = 0; place < PART_PLACES && r == 0; place++) {
        _cleanup_free_ char *dir =
            xasprintf("%s/" DIR_DATA "/%s", view->root, part_place_dir((enum part_place)place));
        r = list_dirs(dir, &months, reterr);
    }
    for (size_t i = 0; i < months.count && r == 0; i++) {
        struct month month;
        if (!month_parse(&month, months.names[i]))
            r = error_set(
                reterr, ERR_INVALID,
                "%s/" DIR_DATA
                ": directory %s isn't a month (YYYY_MM); a stock server wouldn't start on it either",
                view->root, months.names[i]);
        else
            r = load_month(view, &month, reterr);
    }
    name_list_release(&months);
    return r;
}

/* Index parts of a release before v1.133 hold series that a per-month index doesn't have. */
static int refuse_legacy_index(const struct store_view *view, struct error *reterr)
{
    _cleanup_free_ char *indexdb = xasprintf("%s/" DIR_LEGACY_INDEX, view->root);
    if (!fs_is_dir(indexdb))
        return 0;
    struct name_list generations = {0};
    int r = list_dirs(indexdb, &generations, reterr);
    for (size_t i = 0; i < generations.count && r == 0; i++) {
        _cleanup_free_ char *generation = xasprintf("%s/%s", indexdb, generations.names[i]);
        struct name_list parts = {0};
        r = list_dirs(generation, &parts, reterr);
        if (r == 0 && parts.count)
            r = error_set(reterr, ERR_INVALID,
                          "%s: holds index parts of a VictoriaMetrics release before v1.133, which Varve "
                          "can't read yet; use "
                          "another directory",
                          generation);
        name_list_release(&parts);
    }
    name_list_release(&generations);
    return r;
}

static int apply_part(struct store_view *view, const struct commit_record *record,
                      const struct record_part *named, struct error *reterr)
{
    struct month month;
    if (!month_parse(&month, named->month))
        return error_set(reterr, ERR_CORRUPT, "%s/" FILE_JOURNAL ": record %" PRIu64 " names month %s",
                         view->root, record->n, named->month);
    struct view_month *m = find_month(view, &month);
    if (find_part(m, named->place, named->name))
        return 0; /* published before the crash */
    m->changed[named->place] = true;
    char *staged = xasprintf("%s/" DIR_STAGING "/%" PRIu64 "/%s/%s/%s", view->root, record->n,
                             part_place_dir(named->place), named->month, named->name);
    _cleanup_free_ char *dir = month_dir(view, named->place, named->month);
    char *in_place = xasprintf("%s/%s", dir, named->name);
    bool is_staged = fs_is_dir(staged);
    if (!is_staged && !fs_is_dir(in_place)) {
        int r = error_set(reterr, ERR_CORRUPT,
                          "%s: commit %" PRIu64 " made this part, but it's neither there nor in %s", in_place,
                          record->n, staged);
        free(staged);
        free(in_place);
        return r;
    }
    struct view_part *part = add_part(m, named->place, named->name, is_staged ? staged : in_place);
    part->commit = record->n;
    part->staged = is_staged;
    free(is_staged ? in_place : staged);
    return 0;
}

static int apply_journal(struct store_view *view, struct error *reterr)
{
    uint64_t published = view->state.n;
    for (size_t i = 0; i < view->journal.count; i++)
        if (view->journal.records[i].published > published)
            published = view->journal.records[i].published;
    for (size_t i = 0; i < view->journal.count; i++) {
        const struct commit_record *record = &view->journal.records[i];
        if (record->n <= view->state.n)
            continue; /* the checkpoint has it, or it only says what was published */
        for (size_t k = 0; k < record->parts_count && record->n > published; k++) {
            int r = apply_part(view, record, &record->parts[k], reterr);
            if (r < 0)
                return r;
        }
        if (i + 1 < view->journal.count || !FAULT_SWITCH("recover_positions_late"))
            position_table_apply(&view->state.positions, &record->positions);
        view->state.n = record->n;
        view->state.time_ms = record->time_ms;
        view->state.reject_log_length = record->reject_log_length;
    }
    return 0;
}

/* One that isn't above the last record was decided. */
static int load_prepared(struct store_view *view, struct error *reterr)
{
    _cleanup_free_ char *path = xasprintf("%s/" FILE_PREPARED, view->root);
    int r = prepared_read(&view->prepared, path, view->state.store_id, &view->has_prepared, reterr);
    if (r == 0 && view->has_prepared && view->prepared.record.n <= view->state.n) {
        prepared_record_release(&view->prepared);
        view->has_prepared = false;
    }
    return r;
}

int store_view_load(struct store_view *view, const char *root, struct error *reterr)
{
    view->root = xstrdup(root);
    _cleanup_free_ char *checkpoint = xasprintf("%s/" FILE_CHECKPOINT, root);
    _cleanup_free_ char *journal = xasprintf("%s/" FILE_JOURNAL, root);
    if (!fs_is_dir(root))
        return error_set(reterr, ERR_NOT_FOUND, "%s: no such directory", root);
    int r = refuse_legacy_index(view, reterr);
    if (r < 0)
        return r;
    if (fs_exists(checkpoint)) {
        r = checkpoint_read(&view->state, checkpoint, reterr);
        view->has_checkpoint = r == 0;
    }
    if (r == 0 && fs_exists(journal)) {
        if (!view->has_checkpoint)
            return error_set(reterr, ERR_CORRUPT, "%s: there's a journal, but no checkpoint beside it",
                             journal);
        r = journal_read(&view->journal, journal, view->state.store_id, reterr);
        view->has_journal = r == 0;
    }
    if (r == 0)
        r = load_months(view, reterr);
    if (r == 0)
        r = apply_journal(view, reterr);
    if (r == 0 && view->has_checkpoint)
        r = load_prepared(view, reterr);
    return r;
}
