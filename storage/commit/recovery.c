/* Recovery (architecture 3): the redo half of the journal. Every step may be repeated after a crash in it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/fault_point.h"
#include "storage/commit/store_view.h"
#include "storage/partition/parts_json.h"

static char *place_dir(const struct store_view *view, enum part_place place, const struct view_month *m)
{
    return xasprintf("%s/" DIR_DATA "/%s/%s", view->root, part_place_dir(place), m->month.name);
}

static int move_staged(const struct store_view *view, const struct view_month *m, struct view_part *part,
                       const struct fs *fs, struct error *reterr)
{
    _cleanup_free_ char *to_dir = place_dir(view, part->place, m);
    char *to = xasprintf("%s/%s", to_dir, part->name);
    int r = fs_make_dirs(fs, to_dir, true, reterr);
    if (r == 0)
        r = fs->ops->rename(fs, part->dir, to, reterr);
    if (r == 0)
        r = fs->ops->sync_dir(fs, to_dir, reterr);
    if (r < 0) {
        free(to);
        return r;
    }
    free(part->dir);
    part->dir = to;
    part->staged = false;
    return 0;
}

static void collect(const struct view_month *m, struct name_list lists[PART_PLACES])
{
    for (size_t i = 0; i < m->parts_count; i++)
        name_list_add(&lists[m->parts[i].place], m->parts[i].name);
}

static int write_list(const struct store_view *view, const struct view_month *m, bool index,
                      const struct fs *fs, struct error *reterr)
{
    struct name_list lists[PART_PLACES] = {0};
    struct buffer text = {0};
    collect(m, lists);
    if (index)
        parts_json_print_index(&text, &lists[PLACE_INDEX]);
    else
        parts_json_print_data(&text, &lists[PLACE_SMALL], &lists[PLACE_BIG]);
    _cleanup_free_ char *dir = place_dir(view, index ? PLACE_INDEX : PLACE_SMALL, m);
    _cleanup_free_ char *path = xasprintf("%s/" FILE_PARTS_JSON, dir);
    int r = fs_make_dirs(fs, dir, true, reterr);
    if (r == 0)
        r = fs_replace_file(fs, path, text.data, text.len, reterr);
    buffer_release(&text);
    for (int i = 0; i < PART_PLACES; i++)
        name_list_release(&lists[i]);
    return r;
}

/* Moves and lists the parts of one month, of its index or its rows. */
static int publish_month(const struct store_view *view, struct view_month *m, bool index, const struct fs *fs,
                         struct error *reterr)
{
    bool changed = index ? m->changed[PLACE_INDEX] : m->changed[PLACE_SMALL] || m->changed[PLACE_BIG];
    if (!changed)
        return 0;
    int r = 0;
    for (size_t i = 0; i < m->parts_count && r == 0; i++)
        if (m->parts[i].staged && (m->parts[i].place == PLACE_INDEX) == index)
            r = move_staged(view, m, &m->parts[i], fs, reterr);
    FAULT_POINT("recover.moved");
    return r == 0 ? write_list(view, m, index, fs, reterr) : r;
}

/* Deletes the directories of a month that no list names: merges that a crash cut off. */
static int sweep(const struct store_view *view, const struct view_month *m, enum part_place place,
                 const struct fs *fs, struct error *reterr)
{
    _cleanup_free_ char *dir = place_dir(view, place, m);
    _cleanup_free_ char *list_dir = place_dir(view, place == PLACE_BIG ? PLACE_SMALL : place, m);
    _cleanup_free_ char *list_path = xasprintf("%s/" FILE_PARTS_JSON, list_dir);
    if (!fs_is_dir(dir) || !fs_exists(list_path))
        return 0;
    struct name_list lists[PART_PLACES] = {0};
    collect(m, lists);
    struct fs_list entries = {0};
    int r = fs_list_dir(&entries, dir, reterr);
    for (size_t i = 0; r == 0 && i < entries.count; i++) {
        _cleanup_free_ char *path = xasprintf("%s/%s", dir, entries.names[i]);
        if (fs_is_dir(path) && !name_list_has(&lists[place], entries.names[i]))
            r = fs_remove_tree(fs, path, reterr);
    }
    fs_list_release(&entries);
    for (int i = 0; i < PART_PLACES; i++)
        name_list_release(&lists[i]);
    return r;
}

/* The killed process may have replaced a parts.json, or moved a part, and not synced it any more: then it's
 * seen, and nothing below is done about it, but it isn't on disk. */
static int sync_month(const struct store_view *view, const struct view_month *m, const struct fs *fs,
                      struct error *reterr)
{
    int r = 0;
    for (int place = 0; place < PART_PLACES && r == 0; place++) {
        _cleanup_free_ char *dir = place_dir(view, (enum part_place)place, m);
        if (fs_is_dir(dir))
            r = fs->ops->sync_dir(fs, dir, reterr);
    }
    return r;
}

/* All staged parts are moved or none of any record, but for those of a commit that waits for its verdict. */
static int remove_staging(const struct store_view *view, const struct fs *fs, struct error *reterr)
{
    _cleanup_free_ char *staging = xasprintf("%s/" DIR_STAGING, view->root);
    if (!view->has_prepared)
        return fs_remove_tree(fs, staging, reterr);
    _cleanup_free_ char *kept = xasprintf("%" PRIu64, view->prepared.record.n);
    struct fs_list entries = {0};
    int r = fs_is_dir(staging) ? fs_list_dir(&entries, staging, reterr) : 0;
    for (size_t i = 0; r == 0 && i < entries.count; i++) {
        _cleanup_free_ char *path = xasprintf("%s/%s", staging, entries.names[i]);
        if (strcmp(entries.names[i], kept) != 0)
            r = fs_remove_tree(fs, path, reterr);
    }
    fs_list_release(&entries);
    return r;
}

int store_view_recover(struct store_view *view, const struct fs *fs, struct error *reterr)
{
    _cleanup_free_ char *journal = xasprintf("%s/" FILE_JOURNAL, view->root);
    _cleanup_free_ char *checkpoint = xasprintf("%s/" FILE_CHECKPOINT, view->root);
    _cleanup_free_ char *varve = xasprintf("%s/" DIR_VARVE, view->root);
    int r = 0;
    if (view->has_journal)
        r = journal_rewrite(&view->journal, fs, journal, reterr);
    for (size_t i = 0; i < view->months_count && r == 0 && view->has_journal; i++)
        r = sync_month(view, &view->months[i], fs, reterr);
    for (int index = 1; index >= 0; index--) /* a sample without its index row would be invisible */
        for (size_t i = 0; i < view->months_count && r == 0; i++)
            r = publish_month(view, &view->months[i], index, fs, reterr);
    FAULT_POINT("recover.listed");
    for (size_t i = 0; i < view->months_count; i++)
        for (int place = 0; place < PART_PLACES && r == 0; place++)
            r = sweep(view, &view->months[i], (enum part_place)place, fs, reterr);
    if (r == 0 && view->has_checkpoint)
        r = checkpoint_write(&view->state, fs, checkpoint, reterr);
    FAULT_POINT("recover.checkpoint");
    if (r == 0)
        r = remove_staging(view, fs, reterr);
    if (r == 0 && view->has_journal) {
        r = fs->ops->unlink(fs, journal, reterr);
        if (r == 0)
            r = fs->ops->sync_dir(fs, varve, reterr);
    }
    if (r < 0)
        return r;
    for (size_t i = 0; i < view->months_count; i++) {
        memset(view->months[i].changed, 0, sizeof view->months[i].changed);
        for (size_t k = 0; k < view->months[i].parts_count; k++)
            view->months[i].parts[k].commit = 0;
    }
    journal_records_release(&view->journal);
    view->has_journal = false;
    return 0;
}
