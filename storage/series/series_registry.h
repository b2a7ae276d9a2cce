/*
 * All series that the process knows: canonical name <-> handle <-> TSID, in memory.
 *
 * Handles are dense from 0 and never change or go away, not even when the series is deleted. Names lie in an
 * arena of chunks that never move, so a name once returned stays valid as long as the registry. The table
 * holds (hash tag, handle) pairs, open addressing: a lookup touches one cache line of it and the name.
 * Thread-safe: one mutex (RANK_SERIES) is held for the length of each call, never while ranks are built.
 */
#ifndef VARVE_STORAGE_SERIES_SERIES_REGISTRY_H
#define VARVE_STORAGE_SERIES_SERIES_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/error.h"
#include "storage/block/tsid.h"
#include "storage/mergeset/items.h"
#include "storage/series/series_ranks.h"

struct series_registry;

/* Metric ids of new series count up from next_metric_id: max(now in ns, largest id found + 1) (format 5). */
struct series_registry *series_registry_new(uint64_t next_metric_id);
void series_registry_free(struct series_registry *reg);

/* The hash that the calls below take: of the canonical name, computed once by the caller. */
uint64_t series_name_hash(const uint8_t *name, size_t len);

/* true and the handle if the name is known. */
bool series_registry_find(struct series_registry *reg, const uint8_t *name, size_t len, uint64_t hash,
                          uint32_t *ret_handle);
/* Finds or adds: 1 if it was added, 0 if it was there (known is ignored then), ERR_CORRUPT if a TSID has to
 * be made and name isn't canonical. known: the TSID from the index, whose metric id then lies below the next
 * one; NULL makes one. */
int series_registry_add(struct series_registry *reg, const uint8_t *name, size_t len, uint64_t hash,
                        const struct tsid *known, uint32_t *ret_handle, struct error *reterr);

/* The name's series was deleted: the name is known no more, and the next series_registry_add of it makes a
 * new series with an id of its own. The old handle keeps its name and TSID, for rows on their way. false if
 * it wasn't known. */
bool series_registry_forget(struct series_registry *reg, const uint8_t *name, size_t len, uint64_t hash,
                            uint32_t *ret_handle);

/* Of a handle that was returned before. The name stays valid until series_registry_free. */
struct item series_registry_name(struct series_registry *reg, uint32_t handle);
struct tsid series_registry_tsid(struct series_registry *reg, uint32_t handle);
uint32_t series_registry_count(struct series_registry *reg);
uint64_t series_registry_next_metric_id(struct series_registry *reg);
/* Bytes of memory held, snapshots aside. */
size_t series_registry_memory(struct series_registry *reg);

/* A reference to the current snapshot, which holds every series added before the call. Built anew only if
 * there were some: the new ones are sorted and merged into the old order. Drop it with series_ranks_unref. */
void series_registry_ranks(struct series_registry *reg, struct series_ranks_snapshot **ret_snapshot);

#endif
