/* Forced merges: requests wait in a queue for one background thread; a caller may also do one himself. */
#ifndef VARVE_STORAGE_FORCE_MERGE_H
#define VARVE_STORAGE_FORCE_MERGE_H

#include "src/base/error.h"

struct storage;
struct force_merge;

struct force_merge *force_merge_new(struct storage *st);
/* Ends a running one early, drops what waits, joins the thread. NULL is fine; stop may be called before. */
void force_merge_stop(struct force_merge *fm);
void force_merge_free(struct force_merge *fm);

#endif
