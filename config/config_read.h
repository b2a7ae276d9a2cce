/*
 * YAML tree -> struct config: what the files of this folder share. Internal.
 *
 * A reader reports every mistake that it meets and goes on; where a value is wrong its default stands in, so
 * that the rules across keys still have something to look at.
 */
#ifndef VARVE_CONFIG_CONFIG_READ_H
#define VARVE_CONFIG_CONFIG_READ_H

#include "config/config.h"
#include "config/yaml_tree.h"

/* The path of a key, leaf first: "sinks[0].brokers[1]". Lives on the stack. */
struct config_place {
    const struct config_place *parent; /* NULL: the file itself, which has neither name nor index */
    const char *name;                  /* NULL: the index-th item of its parent */
    size_t index;
};

struct config_reader {
    const char *file; /* for messages */
    struct config *cfg;
    const struct config_hooks *hooks; /* never NULL */
    struct config_errors *errors;
};

struct config_key;

/* Reads value into dst. 0, or ERR_INVALID when it's reported; dst is then as before. */
typedef int config_read_fn(struct config_reader *r, const struct config_place *place,
                           const struct config_key *key, const struct yaml_node *value, void *dst);

/* Adds an error: "what is wrong; what would be right". place may be NULL. Returns ERR_INVALID. */
int config_report(struct config_reader *r, struct yaml_position at, const struct config_place *place,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Sorts the errors from index first on by line and column. */
void config_errors_sort(struct config_errors *errors, size_t first);

/* A text of the file for use in a message: cut, and without control characters. dst has CONFIG_QUOTE_MAX
 * bytes. */
#define CONFIG_QUOTE_MAX 80
const char *config_quote(const char *text, char *dst);
/* The same for an address: what somebody wrote before an @ in it may be a password. */
const char *config_quote_address(const char *text, char *dst);
/* config_quote for dst of dst_size bytes (8 or more): for a path, which is of use only whole. */
const char *config_quote_up_to(const char *text, char *dst, size_t dst_size);

/* Reads node (a mapping; NULL: an empty one) by a table into the struct at base; `at` is where missing keys
 * are reported. sink_type is 0 outside sinks. Reports unknown and repeated keys. */
void config_read_mapping(struct config_reader *r, const struct config_place *place,
                         const struct config_key *keys, const struct yaml_node *node, struct yaml_position at,
                         unsigned sink_type, void *base);
/* Reports each key that occurs twice. */
void config_report_repeated_keys(struct config_reader *r, const struct config_place *place,
                                 const struct yaml_node *mapping);
/* Frees count addresses; items may be NULL. */
void config_listen_free(struct config_listen *items, size_t count);
/* Whether a key, of length bytes, is by its name that of a password. */
bool config_is_password_property(const char *key, size_t length);
/* Remembers that a string of the configuration is a secret. */
void config_mark_secret(struct config *cfg, const char *value);

/* Readers, by the type of what dst points at. */
config_read_fn config_read_submapping;      /* the enclosing struct: offset 0, children have their own */
config_read_fn config_read_sinks;           /* struct config */
config_read_fn config_read_string;          /* char *, owned */
config_read_fn config_read_strings;         /* struct config_strings: a list */
config_read_fn config_read_duration;        /* int64_t, ms */
config_read_fn config_read_size;            /* uint64_t, bytes */
config_read_fn config_read_percent_or_size; /* struct config_percent_or_size */
config_read_fn config_read_count;           /* uint32_t */
config_read_fn config_read_bool;            /* bool */
config_read_fn config_read_choice;          /* an enum */
config_read_fn config_read_word;            /* const char *: the name of the choice */
config_read_fn config_read_labels;          /* struct config_labels: a mapping */
config_read_fn config_read_subscriptions;   /* struct config_mqtt */
config_read_fn config_read_start_from;      /* struct config_start_from */
config_read_fn config_read_partitions;      /* struct config_sink */
config_read_fn config_read_properties;      /* struct config_sink */
config_read_fn config_read_listen;          /* struct config_http */

/* The rules across keys, and those that need more than the value's type. config_check comes after all is read
 * (root may be NULL), config_check_kafka_sink and config_check_mqtt_sink after each sink of that type. */
void config_check(struct config_reader *r, const struct yaml_node *root);
void config_check_kafka_sink(struct config_reader *r, const struct config_place *place,
                             struct config_sink *sink, const struct yaml_node *node);
void config_check_mqtt_sink(struct config_reader *r, const struct config_place *place,
                            struct config_sink *sink, const struct yaml_node *node);
/* The labels and json of a source whose keys stand in node; $n reach to captures_max. */
void config_check_payload(struct config_reader *r, const struct config_place *place,
                          enum config_sink_type type, const char *format, const struct config_labels *labels,
                          const struct config_json *json, size_t captures_max, const struct yaml_node *node);
/* Reports a file (a directory of certificates will do) that can't be opened for reading. */
void config_check_readable(struct config_reader *r, struct yaml_position at, const struct config_place *place,
                           const char *path);
/* Whether path is absolute and short enough; reports if it isn't. */
bool config_check_absolute(struct config_reader *r, const struct config_place *place, struct yaml_position at,
                           const char *path);
/* Asks hooks->sink_check about each sink; for a configuration that has no errors so far. */
void config_check_with_library(struct config_reader *r, const struct yaml_node *root);
/* Where the value of a key stands, or the mapping itself if the key isn't there; 1:1 without a mapping. */
struct yaml_position config_position_of(const struct yaml_node *mapping, const char *key);

#endif
