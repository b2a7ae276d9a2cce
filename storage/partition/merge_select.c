/* Which parts of a month are merged next, and whether there's room for it (format 10.2, 10.3). */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/cleanup.h"
#include "storage/part/merge_pick.h"
#include "storage/partition/merge_task.h"

/* A merge may take a quarter of what is free, as in the reference: flushes and other merges need some, too.
 */
#define FREE_SPACE_SHARE 4
#define MERGE_BYTES_MAX  UINT64_C(1000000000000)
/* Parts above this go to big/: max(40% of memory / 15, 10 MB), as the reference has it. */
#define SMALL_PART_BYTES_FLOOR UINT64_C(10000000)
#define WAIT_MS                100

static uint64_t disk_free_bytes(const struct partition_env *env)
{
    _cleanup_free_ char *data = xasprintf("%s/" DIR_DATA, env->root);
    return env->fs->ops->free_bytes(env->fs, data);
}

/* Less what the results of merges at work may still need. */
static uint64_t free_bytes(const struct partition_env *env)
{
    uint64_t bytes = disk_free_bytes(env);
    uint64_t reserved = atomic_load(&env->merge_reserved_bytes);
    return bytes > reserved ? bytes - reserved : 0;
}

static uint64_t small_part_bytes_max(const struct partition_env *env, uint64_t free_space)
{
    uint64_t max = env->small_part_bytes_max;
    if (!max) {
        uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGE_SIZE);
        max = memory / 10 * 4 / MERGE_PARTS_MAX;
        max = max > SMALL_PART_BYTES_FLOOR ? max : SMALL_PART_BYTES_FLOOR;
    }
    uint64_t share = free_space / (env->merge_workers ? env->merge_workers : 1);
    return max < share ? max : share;
}

/* Not in a merge, listed, and called published by a durable record, so that recovery never looks for it. */
static bool is_eligible(const struct partition_env *env, const struct part *p)
{
    return !part_is_inmemory(p) && p->published && !p->merging &&
           p->commit <= atomic_load(&env->published_durable);
}

struct choice {
    struct merge_candidate *candidates;
    struct part **parts; /* of the candidates */
    size_t count;
    size_t picked[MERGE_PARTS_MAX];
    size_t picked_count;
    uint64_t picked_bytes;
};

static void choice_release(struct choice *c)
{
    free(c->candidates);
    free(c->parts);
}

/* Call with the set's lock. */
static void collect(struct choice *ret, const struct partition_env *env, const struct part_set *set,
                    enum part_place place)
{
    *ret = (struct choice){.candidates = xcalloc(set->list.count + 1, sizeof *ret->candidates),
                           .parts = xcalloc(set->list.count + 1, sizeof *ret->parts)};
    for (size_t i = 0; i < set->list.count; i++) {
        struct part *p = set->list.parts[i];
        if (p->place != place || !is_eligible(env, p))
            continue;
        ret->candidates[ret->count] = (struct merge_candidate){p->bytes, p->min_timestamp};
        ret->parts[ret->count++] = p;
    }
}

static bool pick(struct choice *c, uint64_t max_out, bool by_time)
{
    c->picked_count = merge_pick(c->candidates, c->count, MERGE_PARTS_MAX, max_out, by_time, c->picked);
    c->picked_bytes = 0;
    for (size_t i = 0; i < c->picked_count; i++)
        c->picked_bytes += c->candidates[c->picked[i]].size;
    return c->picked_count > 0;
}

static void drop_picked(struct choice *c)
{
    for (size_t i = 0; i < c->picked_count; i++)
        c->parts[c->picked[i]] = NULL;
    size_t kept = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (!c->parts[i])
            continue;
        c->candidates[kept] = c->candidates[i];
        c->parts[kept++] = c->parts[i];
    }
    c->count = kept;
}

/* Small parts whose merge ends as a small part, or else as a big one. */
static bool pick_small(struct choice *c, uint64_t max_out, uint64_t small_max, bool want_big,
                       bool *ret_others)
{
    while (pick(c, max_out, true)) {
        if (want_big == (c->picked_bytes > small_max))
            return true;
        *ret_others = true;
        drop_picked(c);
    }
    return false;
}

static void mark(struct merge_task *task, struct part *p)
{
    p->merging = true;
    part_list_add(&task->sources, part_ref(p));
    task->bytes += p->bytes;
}

/* False if another merge has taken the space meanwhile. */
static bool reserve(struct partition_env *env, uint64_t bytes, uint64_t share)
{
    uint64_t before = atomic_fetch_add(&env->merge_reserved_bytes, bytes);
    uint64_t on_disk = disk_free_bytes(env);
    if (bytes <= (on_disk > before ? on_disk - before : 0) / share)
        return true;
    atomic_fetch_sub(&env->merge_reserved_bytes, bytes);
    return false;
}

bool merge_select(struct merge_task *ret, struct partition *pt, enum merge_kind kind, uint64_t max_bytes,
                  bool *ret_big_wanted)
{
    struct partition_env *env = pt->env;
    struct part_set *set = kind == MERGE_INDEX ? &pt->index : &pt->data;
    uint64_t free_space = free_bytes(env);
    uint64_t max_out = free_space / FREE_SPACE_SHARE;
    max_out = max_out < MERGE_BYTES_MAX ? max_out : MERGE_BYTES_MAX;
    max_out = max_out < max_bytes ? max_out : max_bytes;
    uint64_t small_max = small_part_bytes_max(env, free_space);
    bool others = false;
    struct choice c;

    *ret = (struct merge_task){.pt = pt, .kind = kind, .stop = &env->stop_merges};
    mutex_lock(&set->lock);
    collect(&c, env, set, kind == MERGE_INDEX ? PLACE_INDEX : PLACE_SMALL);
    bool found = kind == MERGE_INDEX ? pick(&c, max_out, false)
                                     : pick_small(&c, max_out, small_max, kind == MERGE_BIG, &others);
    ret->to = kind == MERGE_INDEX ? PLACE_INDEX : kind == MERGE_BIG ? PLACE_BIG : PLACE_SMALL;
    if (!found && kind == MERGE_BIG) {
        choice_release(&c);
        collect(&c, env, set, PLACE_BIG);
        found = pick(&c, max_out, true);
    }
    if (found && !set->held && !set->retiring && reserve(env, c.picked_bytes, FREE_SPACE_SHARE))
        for (size_t i = 0; i < c.picked_count; i++)
            mark(ret, c.parts[c.picked[i]]);
    mutex_unlock(&set->lock);
    choice_release(&c);
    if (ret_big_wanted)
        *ret_big_wanted = kind == MERGE_SMALL && others;
    return ret->sources.count > 0;
}

bool merge_select_stale(struct merge_task *ret, struct partition *pt, int64_t deadline_ms)
{
    struct part_set *set = &pt->data;
    *ret =
        (struct merge_task){.pt = pt, .kind = MERGE_SMALL, .to = PLACE_SMALL, .stop = &pt->env->stop_merges};
    mutex_lock(&set->lock);
    for (size_t i = 0; i < set->list.count && !set->held && !set->retiring; i++)
        if (is_eligible(pt->env, set->list.parts[i]) && set->list.parts[i]->max_timestamp < deadline_ms)
            mark(ret, set->list.parts[i]);
    mutex_unlock(&set->lock);
    return ret->sources.count > 0;
}

static int compare_sizes(const void *x, const void *y)
{
    const struct part *a = *(struct part *const *)x, *b = *(struct part *const *)y;
    return a->bytes < b->bytes ? -1 : a->bytes > b->bytes;
}

static bool is_any_merging(const struct part_set *set)
{
    for (size_t i = 0; i < set->list.count; i++)
        if (set->list.parts[i]->merging)
            return true;
    return false;
}

static int refuse(const struct partition *pt, uint64_t bytes, uint64_t free_space, struct error *reterr)
{
    return error_set(reterr, ERR_FULL,
                     "month %s: merging its parts needs %" PRIu64 " bytes, but %" PRIu64 " are free: %" PRIu64
                     " more are needed",
                     pt->month.name, bytes, free_space, bytes > free_space ? bytes - free_space : 0);
}

int merge_check_space(const struct partition *pt, uint64_t bytes, struct error *reterr)
{
    uint64_t free_space = free_bytes(pt->env);
    return bytes <= free_space ? 0 : refuse(pt, bytes, free_space, reterr);
}

int merge_select_all(struct merge_task *ret, struct partition *pt, bool index, size_t min_parts,
                     size_t max_parts, const atomic_bool *stop, bool *ret_all, struct error *reterr)
{
    struct partition_env *env = pt->env;
    struct part_set *set = index ? &pt->index : &pt->data;
    *ret = (struct merge_task){
        .pt = pt, .kind = MERGE_FORCED, .to = index ? PLACE_INDEX : PLACE_SMALL, .stop = stop};
    mutex_lock(&set->lock);
    set->held++; /* no new merges meanwhile */
    while (is_any_merging(set) && !atomic_load(stop))
        cond_wait_ms(&set->changed, &set->lock, WAIT_MS);
    set->held--;
    struct part **parts = xcalloc(set->list.count + 1, sizeof *parts);
    size_t count = 0;
    for (size_t i = 0; i < set->list.count && !set->retiring; i++)
        if (is_eligible(env, set->list.parts[i]))
            parts[count++] = set->list.parts[i];
    *ret_all = count <= max_parts;
    if (!*ret_all) {
        qsort(parts, count, sizeof(struct part *), compare_sizes);
        count = max_parts;
    }
    uint64_t bytes = 0, free_space = free_bytes(env);
    for (size_t i = 0; i < count; i++)
        bytes += parts[i]->bytes;
    bool cancelled = atomic_load(stop);
    bool fits = !cancelled && count >= min_parts && reserve(env, bytes, 1);
    if (fits)
        for (size_t i = 0; i < count; i++)
            mark(ret, parts[i]);
    mutex_unlock(&set->lock);
    free(parts);
    if (cancelled)
        return error_set(reterr, ERR_CANCELLED, "month %s: asked to stop", pt->month.name);
    if (count < min_parts)
        return 0;
    if (!fits)
        return refuse(pt, bytes, free_space, reterr);
    if (!index && bytes > small_part_bytes_max(env, free_space))
        ret->to = PLACE_BIG;
    return 1;
}
