#include "src/intake_counters.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"

uint32_t reason_index(struct reason_counts *r, const char *reason)
{
    for (uint32_t i = 0; i < REASONS_MAX - 1; i++) {
        const char *known = atomic_load_explicit(&r->reasons[i], memory_order_relaxed);
        if (!known) {
            atomic_store_explicit(&r->reasons[i], reason, memory_order_release);
            return i;
        }
        if (known == reason || strcmp(known, reason) == 0)
            return i;
    }
    atomic_store_explicit(&r->reasons[REASONS_MAX - 1], "other", memory_order_release);
    return REASONS_MAX - 1;
}

struct intake_counters *intake_counters_take(struct intake_counters_list *list, const char *sink_name)
{
    struct intake_counters *c = atomic_load(&list->head);
    for (; c; c = c->next) {
        if (strcmp(c->sink_name, sink_name) == 0 && !atomic_exchange(&c->in_use, true))
            return c;
    }
    c = xcalloc(1, sizeof *c);
    c->sink_name = xstrdup(sink_name);
    atomic_store(&c->in_use, true);
    c->next = atomic_load(&list->head);
    while (!atomic_compare_exchange_weak(&list->head, &c->next, c))
        ;
    return c;
}

void intake_counters_give_back(struct intake_counters *c)
{
    atomic_store(&c->cache_bytes, 0);
    atomic_store(&c->in_use, false);
}

void intake_counters_list_release(struct intake_counters_list *list)
{
    struct intake_counters *c = atomic_exchange(&list->head, NULL);
    while (c) {
        struct intake_counters *next = c->next;
        free(c->sink_name);
        free(c);
        c = next;
    }
}

static uint64_t load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static struct sink_total *total_of_sink(struct intake_totals *t, const char *sink_name)
{
    for (size_t i = 0; i < t->sinks_count; i++) {
        if (strcmp(t->sinks[i].sink_name, sink_name) == 0)
            return &t->sinks[i];
    }
    GROW(t->sinks, t->sinks_count, t->sinks_capacity);
    t->sinks[t->sinks_count] = (struct sink_total){.sink_name = sink_name};
    return &t->sinks[t->sinks_count++];
}

static bool same_sink(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void add_reasons(struct reason_total **totals, size_t *count, size_t *capacity,
                        const struct reason_counts *r, const char *sink_name)
{
    for (uint32_t i = 0; i < REASONS_MAX; i++) {
        const char *reason = atomic_load_explicit(&r->reasons[i], memory_order_acquire);
        if (!reason)
            continue;
        size_t at = 0;
        while (at < *count &&
               !(strcmp((*totals)[at].reason, reason) == 0 && same_sink((*totals)[at].sink_name, sink_name)))
            at++;
        if (at == *count) {
            *totals = grow_array(*totals, *count, capacity, sizeof **totals);
            (*totals)[(*count)++] = (struct reason_total){.sink_name = sink_name, .reason = reason};
        }
        (*totals)[at].count += load(&r->counts[i]);
    }
}

void intake_totals_collect(struct intake_totals *ret, const struct intake_counters_list *list)
{
    for (const struct intake_counters *c = atomic_load(&list->head); c; c = c->next) {
        struct sink_total *sink = total_of_sink(ret, c->sink_name);
        sink->rows += load(&c->rows);
        ret->rows += load(&c->rows);
        ret->cache_bytes += load(&c->cache_bytes);
        add_reasons(&ret->rejected, &ret->rejected_count, &ret->rejected_capacity, &c->rejected,
                    c->sink_name);
        add_reasons(&ret->dropped, &ret->dropped_count, &ret->dropped_capacity, &c->dropped, NULL);
    }
}

void intake_totals_release(struct intake_totals *t)
{
    free(t->sinks);
    free(t->rejected);
    free(t->dropped);
    *t = (struct intake_totals){0};
}
