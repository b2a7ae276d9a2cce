/* Writing JSON text. */
#ifndef VARVE_SRC_JSON_H
#define VARVE_SRC_JSON_H

#include <stdbool.h>

#include "src/base/buffer.h"

/* Appends "text", quotes included; bytes that aren't UTF-8 become U+FFFD. */
void json_append_string(struct buffer *dst, const char *text, size_t len);

/* Whether all of it is UTF-8: what json_append_string keeps as it is. */
bool json_is_utf8(const char *text, size_t len);

#endif
