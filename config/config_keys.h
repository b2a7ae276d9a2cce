/*
 * The table of keys: one row a key, with its type, default and bounds. Internal to this folder and its tests.
 *
 * A key, a sink type or a format that a later version brings is switched on here: by taking
 * CONFIG_KEY_NOT_BUILT off its row and giving it a reader and an offset, or by setting `built` of its choice.
 */
#ifndef VARVE_CONFIG_CONFIG_KEYS_H
#define VARVE_CONFIG_CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config_read.h"

enum {
    CONFIG_KEY_REQUIRED = 1 << 0,     /* no default; a text must not be empty */
    CONFIG_KEY_NOT_BUILT = 1 << 1,    /* in interface.md, refused by name in this version */
    CONFIG_KEY_ANY_TEXT = 1 << 2,     /* a text that may hold control characters */
    CONFIG_KEY_MAY_BE_EMPTY = 1 << 4, /* a list */
    CONFIG_KEY_PASSWORD = 1 << 3,     /* never shown, even when written in the clear */
};

/* Sink types that have the key, as bits; 0 for a key outside sinks. */
enum { CONFIG_OF_KAFKA = 1 << CONFIG_SINK_KAFKA, CONFIG_OF_MQTT = 1 << CONFIG_SINK_MQTT };

/* One of the words that a key takes. */
struct config_choice {
    const char *name; /* NULL ends an array */
    int value;
    bool built;
};

struct config_key {
    const char *name; /* NULL ends an array */
    config_read_fn *read;
    size_t offset; /* of the value in the struct that the table fills */
    unsigned flags;
    unsigned sinks;
    const char *default_text;        /* as one would write it; NULL for none */
    const char *example;             /* for messages, where there is no default to show */
    const char *min_text, *max_text; /* bounds of durations, sizes and counts, as one would write them */
    const struct config_choice *choices;
    const struct config_key *children; /* of a mapping, or of each mapping in a list */
};

extern const struct config_key config_root_keys[];

/* The row of that name, or NULL. */
const struct config_key *config_key_find(const struct config_key *keys, const char *name);

/* What to write for a key: its example, else its default. */
const char *config_key_example(const struct config_key *key);

/* Says what to do about a key that isn't in keys: the nearest name, or where else it belongs, or what there
 * is. New string. sink_type is a bit of CONFIG_OF_... or 0. */
char *config_key_advice(const struct config_key *keys, const char *name, unsigned sink_type);

#endif
