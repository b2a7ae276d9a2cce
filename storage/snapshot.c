#include "storage/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "src/base/clock.h"
#include "src/base/fault_point.h"
#include "storage/storage_impl.h"

/* Made, and taken apart, under this name below varve/, where nobody lists it. */
#define UNLISTED_PREFIX         "snapshot-"
#define TIME_DIGITS             14
#define NAME_TEXT_MAX           (SNAPSHOT_NAME_SIZE - 1)
#define METADATA_FILE_BYTES_MAX ((size_t)1 << 20)

bool snapshot_name_is_valid(const char *name)
{
    size_t len = strlen(name);
    size_t digits = strspn(name, "0123456789");
    return digits == TIME_DIGITS && name[TIME_DIGITS] == '-' && len > TIME_DIGITS + 1 &&
           len <= NAME_TEXT_MAX &&
           strspn(name + TIME_DIGITS + 1, "0123456789abcdefABCDEF") == len - TIME_DIGITS - 1;
}

static void new_name(struct storage *st, char ret_name[SNAPSHOT_NAME_SIZE])
{
    int64_t now_ms = clock_now_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char text[TIME_DIGITS + 1];
    (void)strftime(text, sizeof text, "%Y%m%d%H%M%S", &utc);
    char number[PART_NAME_TEXT_SIZE];
    partition_env_name(&st->table.env, number); /* unique, as the parts' names are */
    snprintf(ret_name, SNAPSHOT_NAME_SIZE, "%s-%s", text, number);
}

/* --- what belongs to it --- */

struct pinned_month {
    struct partition *pt;
    struct part_list data, index;
};

struct pinned {
    struct pinned_month *months;
    size_t count;
    struct checkpoint checkpoint;
};

static void pinned_release(struct pinned *pinned)
{
    for (size_t i = 0; i < pinned->count; i++) {
        part_list_release(&pinned->months[i].data);
        part_list_release(&pinned->months[i].index);
    }
    free(pinned->months);
    checkpoint_release(&pinned->checkpoint);
}

static bool is_published(const struct part *p, void *arg)
{
    (void)arg;
    return !part_is_inmemory(p) && p->published;
}

/* The parts and positions of the last commit. Between two commits, so that none is half in it. */
static void pin(struct storage *st, struct pinned *ret)
{
    struct partition **partitions = table_partitions(&st->table, &ret->count);
    ret->months = xcalloc(ret->count, sizeof *ret->months);
    for (size_t i = 0; i < ret->count; i++) {
        struct pinned_month *m = &ret->months[i];
        m->pt = partitions[i];
        part_set_pin(&m->pt->data, &m->data, is_published, NULL);
        part_set_pin(&m->pt->index, &m->index, is_published, NULL);
    }
    free(partitions);
    struct checkpoint *c = &ret->checkpoint;
    c->n = atomic_load(&st->commit_number);
    c->time_ms = clock_check_commit_ms(&st->clock);
    c->reject_log_length = st->durable_reject_log_length;
    memcpy(c->store_id, st->journal.store_id, STORE_ID_BYTES);
    mutex_lock(&st->positions_lock);
    position_table_apply(&c->positions, &st->durable);
    mutex_unlock(&st->positions_lock);
}

/* --- making it --- */

/* Hard links to all files of a part. Parts are immutable, so the links need no further care. */
static int link_part(const struct fs *fs, const char *from, const char *to, struct error *reterr)
{
    struct fs_list files;
    int r = fs_list_dir(&files, from, reterr);
    if (r < 0)
        return r;
    r = fs->ops->mkdir(fs, to, reterr);
    for (size_t i = 0; i < files.count && r == 0; i++) {
        _cleanup_free_ char *source = xasprintf("%s/%s", from, files.names[i]);
        _cleanup_free_ char *target = xasprintf("%s/%s", to, files.names[i]);
        r = fs->ops->link(fs, source, target, reterr);
    }
    fs_list_release(&files);
    return r == 0 ? fs->ops->sync_dir(fs, to, reterr) : r;
}

static int link_parts(const struct fs *fs, const struct pinned_month *m, enum part_place place,
                      const char *dir, struct error *reterr)
{
    const struct part_list *list = place == PLACE_INDEX ? &m->index : &m->data;
    _cleanup_free_ char *month_dir = partition_dir(m->pt, place);
    for (size_t i = 0; i < list->count; i++) {
        const struct part *p = list->parts[i];
        if (p->place != place)
            continue;
        _cleanup_free_ char *from = xasprintf("%s/%s", month_dir, p->name);
        _cleanup_free_ char *to = xasprintf("%s/%s", dir, p->name);
        int r = link_part(fs, from, to, reterr);
        if (r < 0)
            return r;
        FAULT_POINT("snapshot.part");
    }
    return 0;
}

static void add_names(const struct part_list *list, enum part_place place, struct name_list *names)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->parts[i]->place == place)
            name_list_add(names, list->parts[i]->name);
}

static int write_parts_json(const struct fs *fs, const struct pinned_month *m, enum part_place place,
                            const char *dir, struct error *reterr)
{
    struct name_list small = {0}, big = {0}, index = {0};
    struct buffer text = {0};
    if (place == PLACE_INDEX) {
        add_names(&m->index, PLACE_INDEX, &index);
        parts_json_print_index(&text, &index);
    } else {
        add_names(&m->data, PLACE_SMALL, &small);
        add_names(&m->data, PLACE_BIG, &big);
        parts_json_print_data(&text, &small, &big);
    }
    _cleanup_free_ char *path = xasprintf("%s/" FILE_PARTS_JSON, dir);
    int r = fs_write_file(fs, path, text.data, text.len, reterr);
    name_list_release(&small);
    name_list_release(&big);
    name_list_release(&index);
    buffer_release(&text);
    return r;
}

/* ROOT/data/PLACE/snapshots/NAME, with everything in it, synced up to ROOT/data/PLACE. */
static int make_place(struct storage *st, const struct pinned *pinned, enum part_place place,
                      const char *name, struct error *reterr)
{
    const struct fs *fs = st->table.env.fs;
    _cleanup_free_ char *dir =
        xasprintf("%s/" DIR_DATA "/%s/" DIR_SNAPSHOTS "/%s", st->root, part_place_dir(place), name);
    int r = fs_make_dirs(fs, dir, true, reterr);
    for (size_t i = 0; i < pinned->count && r == 0; i++) {
        const struct pinned_month *m = &pinned->months[i];
        if (!m->data.count && !m->index.count)
            continue;
        _cleanup_free_ char *month_dir = xasprintf("%s/%s", dir, m->pt->month.name);
        r = fs->ops->mkdir(fs, month_dir, reterr);
        if (r == 0)
            r = link_parts(fs, m, place, month_dir, reterr);
        if (r == 0 && place != PLACE_BIG) /* small's names both */
            r = write_parts_json(fs, m, place, month_dir, reterr);
        if (r == 0)
            r = fs->ops->sync_dir(fs, month_dir, reterr);
    }
    return r == 0 ? fs->ops->sync_dir(fs, dir, reterr) : r;
}

static int copy_metadata(const struct fs *fs, const char *root, const char *dir, struct error *reterr)
{
    _cleanup_free_ char *from = xasprintf("%s/" DIR_METADATA, root);
    _cleanup_free_ char *to = xasprintf("%s/" DIR_METADATA, dir);
    struct fs_list files;
    int r = fs_list_dir(&files, from, reterr);
    if (r < 0)
        return r;
    r = fs->ops->mkdir(fs, to, reterr);
    for (size_t i = 0; i < files.count && r == 0; i++) {
        _cleanup_free_ char *source = xasprintf("%s/%s", from, files.names[i]);
        _cleanup_free_ char *target = xasprintf("%s/%s", to, files.names[i]);
        struct buffer content = {0};
        r = fs_read_file(source, METADATA_FILE_BYTES_MAX, &content, reterr);
        if (r == 0)
            r = fs_write_file(fs, target, content.data, content.len, reterr);
        buffer_release(&content);
    }
    fs_list_release(&files);
    return r == 0 ? fs->ops->sync_dir(fs, to, reterr) : r;
}

/* The directory that becomes ROOT/snapshots/NAME. */
static int make_top(struct storage *st, const struct pinned *pinned, const char *dir, const char *name,
                    struct error *reterr)
{
    const struct fs *fs = st->table.env.fs;
    _cleanup_free_ char *data = xasprintf("%s/" DIR_DATA, dir);
    _cleanup_free_ char *varve = xasprintf("%s/" DIR_VARVE, dir);
    _cleanup_free_ char *checkpoint = xasprintf("%s/" FILE_CHECKPOINT, dir);
    int r = fs->ops->mkdir(fs, dir, reterr);
    if (r == 0)
        r = fs->ops->mkdir(fs, data, reterr);
    for (int place = 0; place < PART_PLACES && r == 0; place++) {
        _cleanup_free_ char *target = xasprintf("../../../" DIR_DATA "/%s/" DIR_SNAPSHOTS "/%s",
                                                part_place_dir((enum part_place)place), name);
        _cleanup_free_ char *path = xasprintf("%s/%s", data, part_place_dir((enum part_place)place));
        r = fs->ops->symlink(fs, target, path, reterr);
    }
    if (r == 0)
        r = fs->ops->sync_dir(fs, data, reterr);
    if (r == 0)
        r = copy_metadata(fs, st->root, dir, reterr);
    if (r == 0)
        r = fs->ops->mkdir(fs, varve, reterr);
    if (r == 0)
        r = checkpoint_write(&pinned->checkpoint, fs, checkpoint, reterr);
    return r == 0 ? fs->ops->sync_dir(fs, dir, reterr) : r;
}

static int remove_places(const struct fs *fs, const char *root, const char *name, struct error *reterr)
{
    int r = 0;
    for (int place = 0; place < PART_PLACES && r == 0; place++) {
        _cleanup_free_ char *dir = xasprintf("%s/" DIR_DATA "/%s/" DIR_SNAPSHOTS "/%s", root,
                                             part_place_dir((enum part_place)place), name);
        r = fs_remove_tree(fs, dir, reterr);
    }
    return r;
}

static int make(struct storage *st, const struct pinned *pinned, const char *name, struct error *reterr)
{
    const struct fs *fs = st->table.env.fs;
    _cleanup_free_ char *snapshots = xasprintf("%s/" DIR_SNAPSHOTS, st->root);
    _cleanup_free_ char *final = xasprintf("%s/%s", snapshots, name);
    _cleanup_free_ char *dir = xasprintf("%s/" DIR_VARVE "/" UNLISTED_PREFIX "%s", st->root, name);
    int r = fs_make_dirs(fs, snapshots, true, reterr);
    for (int place = 0; place < PART_PLACES && r == 0; place++)
        r = make_place(st, pinned, (enum part_place)place, name, reterr);
    if (r == 0)
        r = make_top(st, pinned, dir, name, reterr);
    if (r == 0) {
        FAULT_POINT("snapshot.made");
        r = fs->ops->rename(fs, dir, final, reterr);
    }
    if (r == 0)
        r = fs->ops->sync_dir(fs, snapshots, reterr);
    if (r == 0)
        return 0;
    /* Also if it was renamed: whoever asked is told that there's none. */
    (void)fs_remove_tree(fs, final, NULL);
    (void)fs_remove_tree(fs, dir, NULL);
    (void)remove_places(fs, st->root, name, NULL);
    return r;
}

int storage_snapshot_create(struct storage *st, int64_t timeout_ms, char ret_name[SNAPSHOT_NAME_SIZE],
                            struct error *reterr)
{
    struct pinned pinned = {0};
    int64_t until = clock_monotonic_ms() + timeout_ms;
    int r = storage_ensure_open(st, INT64_MIN, INT64_MAX, reterr);
    if (r == 0)
        r = storage_flush(st, timeout_ms, reterr);
    if (r < 0)
        return r;
    /* Parts that are merged away keep their names until the links are made. */
    removals_hold(&st->table.env.removals);
    int64_t left = until - clock_monotonic_ms();
    if (!storage_take_turn(st, timeout_ms < 0 ? -1 : left > 0 ? left : 0)) {
        r = error_set(reterr, ERR_CANCELLED, "a commit is under way; try again");
    } else {
        if (st->published == atomic_load(&st->commit_number))
            pin(st, &pinned);
        else
            r = error_set(reterr, ERR_FULL, "the disk is full: the last commit isn't published yet");
        storage_end_turn(st);
    }
    if (r == 0) {
        new_name(st, ret_name);
        r = make(st, &pinned, ret_name, reterr);
    }
    removals_resume(&st->table.env.removals, st->table.env.fs);
    pinned_release(&pinned);
    return r;
}

/* --- list, delete --- */

/* The valid names in a directory; none if it doesn't exist. */
static int list_names(const char *dir, struct fs_list *ret, struct error *reterr)
{
    *ret = (struct fs_list){0};
    if (!fs_is_dir(dir))
        return 0;
    int r = fs_list_dir(ret, dir, reterr);
    if (r < 0)
        return r;
    size_t kept = 0;
    for (size_t i = 0; i < ret->count; i++) {
        if (snapshot_name_is_valid(ret->names[i]))
            ret->names[kept++] = ret->names[i];
        else
            free(ret->names[i]);
    }
    ret->count = kept;
    return 0;
}

int storage_snapshot_list(struct storage *st, struct fs_list *ret, struct error *reterr)
{
    _cleanup_free_ char *dir = xasprintf("%s/" DIR_SNAPSHOTS, st->root);
    return list_names(dir, ret, reterr);
}

int storage_snapshot_delete(struct storage *st, const char *name, struct error *reterr)
{
    const struct fs *fs = st->table.env.fs;
    _cleanup_free_ char *snapshots = xasprintf("%s/" DIR_SNAPSHOTS, st->root);
    _cleanup_free_ char *listed = xasprintf("%s/%s", snapshots, name);
    _cleanup_free_ char *unlisted = xasprintf("%s/" DIR_VARVE "/" UNLISTED_PREFIX "%s", st->root, name);
    if (!snapshot_name_is_valid(name) || !fs_is_dir(listed))
        return error_set(reterr, ERR_NOT_FOUND, "cannot find snapshot \"%.64s\"", name);
    /* First it's not listed any more, so that a crash leaves no half of it to start from. */
    removals_hold(&st->table.env.removals);
    int r = fs->ops->rename(fs, listed, unlisted, reterr);
    if (r == 0)
        r = fs->ops->sync_dir(fs, snapshots, reterr);
    FAULT_POINT("snapshot.unlisted");
    if (r == 0)
        r = remove_places(fs, st->root, name, reterr);
    if (r == 0)
        r = fs_remove_tree(fs, unlisted, reterr);
    removals_resume(&st->table.env.removals, st->table.env.fs);
    return r;
}

int snapshots_clean_up(const struct fs *fs, const char *root, struct error *reterr)
{
    _cleanup_free_ char *varve = xasprintf("%s/" DIR_VARVE, root);
    struct fs_list list;
    int r = fs_list_dir(&list, varve, reterr);
    if (r < 0)
        return r;
    for (size_t i = 0; i < list.count && r == 0; i++) {
        if (strncmp(list.names[i], UNLISTED_PREFIX, strlen(UNLISTED_PREFIX)) != 0)
            continue;
        _cleanup_free_ char *path = xasprintf("%s/%s", varve, list.names[i]);
        r = fs_remove_tree(fs, path, reterr);
    }
    fs_list_release(&list);
    for (int place = 0; place < PART_PLACES && r == 0; place++) {
        _cleanup_free_ char *dir =
            xasprintf("%s/" DIR_DATA "/%s/" DIR_SNAPSHOTS, root, part_place_dir((enum part_place)place));
        r = list_names(dir, &list, reterr);
        for (size_t i = 0; r == 0 && i < list.count; i++) {
            _cleanup_free_ char *listed = xasprintf("%s/" DIR_SNAPSHOTS "/%s", root, list.names[i]);
            if (!fs_is_dir(listed))
                r = remove_places(fs, root, list.names[i], reterr);
        }
        fs_list_release(&list);
    }
    return r;
}
