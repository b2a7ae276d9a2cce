/* The progress of forced merges as a server's /metrics show it, both ways round. */
#ifndef VARVE_SRC_SERVER_PROGRESS_H
#define VARVE_SRC_SERVER_PROGRESS_H

#include <stdbool.h>

#include "src/exposition.h"
#include "storage/storage.h"

/* Adds the samples varve_forced_merge... */
void server_progress_write(struct exposition *x, const struct storage_merge_progress *p);
/* Reads them out of the text of /metrics; false if they aren't in it. Times but left_ms stay 0. */
bool server_progress_read(struct storage_merge_progress *ret, const char *text);

#endif
