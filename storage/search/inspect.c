#include "storage/search/inspect.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "storage/part/file_part_verify.h"
#include "storage/part/merge_pick.h"
#include "storage/part/part_sums.h"
#include "storage/partition/part.h"
#include "storage/store_dir.h"

static int inspect_part(const struct view_month *m, const struct view_part *vp, struct inspected_part *ret,
                        struct error *reterr)
{
    struct part *p;
    int r = part_open(&p, vp->place, vp->dir, vp->name, vp->commit, reterr);
    if (r < 0)
        return error_prefix(reterr, r == ERR_NOT_FOUND ? ERR_CORRUPT : r, "damaged part %s", vp->dir);
    *ret = (struct inspected_part){
        .month = m->month.name,
        .name = vp->name,
        .dir = vp->dir,
        .place = vp->place,
        .commit = vp->commit,
        .rows = p->rows,
        .blocks = p->file ? p->file->header.blocks_count : item_part_blocks_count(p->item_file),
        .bytes = p->bytes,
        .min_timestamp = p->min_timestamp,
        .max_timestamp = p->max_timestamp,
    };
    part_unref(p);
    return 0;
}

static int open_view(struct inspection *in, const char *dir, struct error *reterr)
{
    in->lock_fd = -1;
    int r = store_dir_is_store(dir) ? store_dir_lock(dir, true, &in->lock_fd, reterr)
                                    : error_set(reterr, ERR_NOT_FOUND, "%s: there's no store here", dir);
    return r < 0 ? r : store_view_load(&in->view, dir, reterr);
}

int inspection_open(struct inspection *ret, const char *dir, struct error *reterr)
{
    struct inspection in = {0};
    int r = open_view(&in, dir, reterr);
    size_t capacity = 0;
    for (size_t i = 0; i < in.view.months_count && r == 0; i++) {
        const struct view_month *m = &in.view.months[i];
        for (size_t k = 0; k < m->parts_count && r == 0; k++) {
            GROW(in.parts, in.parts_count, capacity);
            r = inspect_part(m, &m->parts[k], &in.parts[in.parts_count], reterr);
            in.parts_count += r == 0;
        }
    }
    if (r < 0) {
        inspection_release(&in);
        return r;
    }
    _cleanup_free_ char *guard = xasprintf("%s/" FILE_GUARD, dir);
    in.clean = !in.view.has_journal && !fs_exists(guard);
    *ret = in;
    return 0;
}

void inspection_release(struct inspection *in)
{
    store_view_release(&in->view);
    free(in->parts);
    if (in->lock_fd >= 0)
        (void)close(in->lock_fd);
    *in = (struct inspection){.lock_fd = -1};
}

static struct inspected_kind sum_of_month(const struct inspection *in, const char *month,
                                          enum part_place place)
{
    struct inspected_kind sum = {0};
    struct merge_candidate *candidates = xcalloc(in->parts_count, sizeof *candidates);
    size_t candidates_count = 0, picked[MERGE_PARTS_MAX];
    for (size_t i = 0; i < in->parts_count; i++) {
        const struct inspected_part *p = &in->parts[i];
        if (p->place != place || strcmp(p->month, month) != 0)
            continue;
        sum.parts++;
        sum.rows += p->rows;
        sum.blocks += p->blocks;
        sum.bytes += p->bytes;
        sum.unlisted += p->commit != 0;
        if (!p->commit)
            candidates[candidates_count++] = (struct merge_candidate){p->bytes, p->min_timestamp};
    }
    sum.merge_waits =
        merge_pick(candidates, candidates_count, MERGE_PARTS_MAX, UINT64_MAX, place != PLACE_INDEX, picked);
    free(candidates);
    return sum;
}

struct inspected_kind inspection_sum(const struct inspection *in, const char *month, enum part_place place)
{
    if (month)
        return sum_of_month(in, month, place);
    struct inspected_kind all = {0};
    for (size_t i = 0; i < in->view.months_count; i++) {
        struct inspected_kind sum = sum_of_month(in, in->view.months[i].month.name, place);
        all.parts += sum.parts;
        all.rows += sum.rows;
        all.blocks += sum.blocks;
        all.bytes += sum.bytes;
        all.unlisted += sum.unlisted;
        all.merge_waits += sum.merge_waits;
    }
    return all;
}

static int verify_part(const struct view_part *vp, struct error *reterr)
{
    if (vp->place == PLACE_INDEX)
        return item_part_verify(vp->dir, reterr);
    struct file_part *part;
    int r = file_part_open(&part, vp->dir, reterr);
    if (r == 0) {
        r = file_part_verify(part, NULL, reterr);
        file_part_free(part);
    }
    return r;
}

int store_verify(const char *dir,
                 void (*damaged)(void *context, const char *part_dir, const struct error *error),
                 void *context, uint64_t *ret_parts, struct error *reterr)
{
    struct inspection in = {0};
    int r = open_view(&in, dir, reterr);
    int bad = 0;
    uint64_t parts = 0;
    for (size_t i = 0; i < in.view.months_count && r == 0; i++) {
        const struct view_month *m = &in.view.months[i];
        for (size_t k = 0; k < m->parts_count; k++, parts++) {
            struct error error = {0};
            if (verify_part(&m->parts[k], &error) < 0) {
                damaged(context, m->parts[k].dir, &error);
                bad++;
            }
        }
    }
    inspection_release(&in);
    if (r < 0)
        return r;
    *ret_parts = parts;
    return bad;
}
