/*
 * parts.json: the truth about which parts a month has (format 2.4, 11.3).
 *
 *   data/small/YYYY_MM/parts.json    {"Small":["NAME",...],"Big":["NAME",...]}
 *   data/indexdb/YYYY_MM/parts.json  ["NAME",...]
 * Names sorted. A part directory that a file doesn't list is deleted at the next open.
 */
#ifndef VARVE_STORAGE_PARTITION_PARTS_JSON_H
#define VARVE_STORAGE_PARTITION_PARTS_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "src/base/buffer.h"
#include "src/base/error.h"

/* More is no parts.json. */
#define PARTS_JSON_BYTES_MAX ((size_t)64 << 20)

struct name_list {
    char **names;
    size_t count, capacity;
};

/* The name is copied; one that's there already isn't added again. */
void name_list_add(struct name_list *list, const char *name);
bool name_list_has(const struct name_list *list, const char *name);
void name_list_release(struct name_list *list);

/* Text of the two forms; sorts the lists. */
void parts_json_print_data(struct buffer *dst, struct name_list *small, struct name_list *big);
void parts_json_print_index(struct buffer *dst, struct name_list *names);

/* Parses either into empty lists. ERR_CORRUPT on anything else; null counts as an empty list. Names that
 * aren't plain file names are refused. */
int parts_json_parse_data(const char *text, size_t size, struct name_list *ret_small,
                          struct name_list *ret_big, struct error *reterr);
int parts_json_parse_index(const char *text, size_t size, struct name_list *ret_names, struct error *reterr);

#endif
