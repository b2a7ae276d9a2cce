/*
 * The TSID of a new series (format 5; VictoriaMetrics lib/storage/index_db.go:generateTSID):
 *
 *   metric_group_id = XXH64(group), job_id and instance_id = low 32 bits of XXH64 of the first and second
 * tag's value in canonical order, 0 where there is none (stock leaves what its buffer held); metric_id as
 * given.
 *
 * The hashes only lay related series side by side; nothing checks them.
 */
#ifndef VARVE_STORAGE_SERIES_TSID_GENERATE_H
#define VARVE_STORAGE_SERIES_TSID_GENERATE_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/error.h"
#include "storage/block/tsid.h"

/* From the canonical name. ERR_CORRUPT if it isn't one. */
int tsid_generate(struct tsid *ret_tsid, const uint8_t *canonical, size_t len, uint64_t metric_id,
                  struct error *reterr);

#endif
