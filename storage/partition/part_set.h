/*
 * The parts of one partition, of rows or of index rows, under one lock: what a search pins, what flushes and
 * merges replace. Any thread.
 */
#ifndef VARVE_STORAGE_PARTITION_PART_SET_H
#define VARVE_STORAGE_PARTITION_PART_SET_H

#include <stddef.h>

#include "src/base/mutex.h"
#include "storage/partition/part.h"

/* A list of references. A zeroed struct is empty. */
struct part_list {
    struct part **parts;
    size_t count, capacity;
};

/* Takes over the reference. */
void part_list_add(struct part_list *list, struct part *p);
void part_list_release(struct part_list *list);

struct part_set {
    struct mutex lock;   /* RANK_PARTITION */
    struct cond changed; /* a merge has ended */
    /* Locked: */
    struct part_list list;
    unsigned held; /* no merge may begin: somebody waits for those at work to end */
    bool retiring; /* nor ever again: the month is being dropped */
};

void part_set_init(struct part_set *set);
void part_set_release(struct part_set *set);

/* Takes over the reference. */
void part_set_add(struct part_set *set, struct part *p);
/* References to all parts for which want (NULL: all) says yes, appended to *ret. */
void part_set_pin(struct part_set *set, struct part_list *ret, bool (*want)(const struct part *p, void *arg),
                  void *arg);
/* Atomically takes the old ones out (dropping the set's references) and puts new ones in (taking references
 * of its own). */
void part_set_replace(struct part_set *set, const struct part_list *old, const struct part_list *fresh);
/* Marks them as published / as being merged or not. */
void part_set_mark_published(struct part_set *set, struct part *p);
void part_set_unmark_merging(struct part_set *set, const struct part_list *list);

/* No merge begins any more. Whether none is at work. */
bool part_set_retire(struct part_set *set);
/* Takes all parts out, to *ret. */
void part_set_drain(struct part_set *set, struct part_list *ret);

#endif
