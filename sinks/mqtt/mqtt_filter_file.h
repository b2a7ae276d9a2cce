/*
 * The filters that the session at the broker may hold, kept in the spool's directory (`filters`, one a line):
 * a session outlives the configuration, and goes on sending what a filter that left it asked for.
 */
#ifndef VARVE_SINKS_MQTT_MQTT_FILTER_FILE_H
#define VARVE_SINKS_MQTT_MQTT_FILTER_FILE_H

#include <stddef.h>

#include "sinks/mqtt/spool_fs.h"
#include "src/base/error.h"

struct mqtt_filter_list {
    char **filters;
    size_t count, capacity;
};

void mqtt_filter_list_release(struct mqtt_filter_list *l);
/* Unless it's there already. */
void mqtt_filter_list_add(struct mqtt_filter_list *l, const char *filter);

/* Adds those of the file; none if there's no file. */
int mqtt_filter_file_read(int dir_fd, struct mqtt_filter_list *l, struct error *reterr);
/* Replaces the file, durably. */
int mqtt_filter_file_write(const struct spool_fs *fs, int dir_fd, const struct mqtt_filter_list *l,
                           struct error *reterr);

#endif
