#include "storage/partition/part_set.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"

void part_list_add(struct part_list *list, struct part *p)
{
    GROW(list->parts, list->count, list->capacity);
    list->parts[list->count++] = p;
}

void part_list_release(struct part_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        part_unref(list->parts[i]);
    free(list->parts);
    *list = (struct part_list){0};
}

void part_set_init(struct part_set *set)
{
    *set = (struct part_set){0};
    mutex_init(&set->lock, RANK_PARTITION);
    cond_init(&set->changed);
}

void part_set_release(struct part_set *set)
{
    part_list_release(&set->list);
    mutex_destroy(&set->lock);
    cond_destroy(&set->changed);
}

void part_set_add(struct part_set *set, struct part *p)
{
    mutex_lock(&set->lock);
    part_list_add(&set->list, p);
    mutex_unlock(&set->lock);
}

void part_set_pin(struct part_set *set, struct part_list *ret, bool (*want)(const struct part *p, void *arg),
                  void *arg)
{
    mutex_lock(&set->lock);
    for (size_t i = 0; i < set->list.count; i++)
        if (!want || want(set->list.parts[i], arg))
            part_list_add(ret, part_ref(set->list.parts[i]));
    mutex_unlock(&set->lock);
}

static bool contains(const struct part_list *list, const struct part *p)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->parts[i] == p)
            return true;
    return false;
}

void part_set_replace(struct part_set *set, const struct part_list *old, const struct part_list *fresh)
{
    struct part_list dropped = {0};
    mutex_lock(&set->lock);
    size_t kept = 0;
    for (size_t i = 0; i < set->list.count; i++) {
        if (contains(old, set->list.parts[i]))
            part_list_add(&dropped, set->list.parts[i]);
        else
            set->list.parts[kept++] = set->list.parts[i];
    }
    set->list.count = kept;
    for (size_t i = 0; i < fresh->count; i++)
        part_list_add(&set->list, part_ref(fresh->parts[i]));
    cond_broadcast(&set->changed);
    mutex_unlock(&set->lock);
    /* Outside of the lock: the last reference unmaps files. */
    part_list_release(&dropped);
}

void part_set_mark_published(struct part_set *set, struct part *p)
{
    mutex_lock(&set->lock);
    p->published = true;
    mutex_unlock(&set->lock);
}

void part_set_unmark_merging(struct part_set *set, const struct part_list *list)
{
    mutex_lock(&set->lock);
    for (size_t i = 0; i < list->count; i++)
        list->parts[i]->merging = false;
    cond_broadcast(&set->changed);
    mutex_unlock(&set->lock);
}

bool part_set_retire(struct part_set *set)
{
    bool idle = true;
    mutex_lock(&set->lock);
    set->retiring = true;
    for (size_t i = 0; i < set->list.count; i++)
        idle &= !set->list.parts[i]->merging;
    mutex_unlock(&set->lock);
    return idle;
}

void part_set_drain(struct part_set *set, struct part_list *ret)
{
    mutex_lock(&set->lock);
    *ret = set->list;
    set->list = (struct part_list){0};
    mutex_unlock(&set->lock);
}
