/*
 * The progress of a forced merge as a person reads it: a bar that is drawn again and again on a terminal, a
 * line now and then elsewhere.
 */
#ifndef VARVE_SRC_MERGE_BAR_H
#define VARVE_SRC_MERGE_BAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "storage/storage.h"

struct merge_bar {
    FILE *out;
    bool is_terminal;
    int64_t next_line_ms; /* monotonic clock; not on terminals */
    char last_month[8];
    size_t drawn; /* characters in the terminal's line */
};

void merge_bar_init(struct merge_bar *bar, FILE *out);
/* Shows where it is; a few times a second. */
void merge_bar_show(struct merge_bar *bar, const struct storage_merge_progress *p);
/* Clears the terminal's line. */
void merge_bar_end(struct merge_bar *bar);

/* The text without the bar, "2026_10: 47 %, 1.2 of 2.5 M rows, 3.1 of 6.5 MB, 1:04 left"; bar_width > 0 puts
 * one in front of the percentage. */
void merge_bar_text(char *dst, size_t size, const struct storage_merge_progress *p, size_t bar_width);

#endif
