#include "sinks/mqtt/mqtt_filter_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/buffer.h"
#include "src/base/cleanup.h"

#define FILTERS_FILE "filters"

void mqtt_filter_list_release(struct mqtt_filter_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->filters[i]);
    free(l->filters);
    *l = (struct mqtt_filter_list){0};
}

void mqtt_filter_list_add(struct mqtt_filter_list *l, const char *filter)
{
    for (size_t i = 0; i < l->count; i++) {
        if (strcmp(l->filters[i], filter) == 0)
            return;
    }
    GROW(l->filters, l->count, l->capacity);
    l->filters[l->count++] = xstrdup(filter);
}

int mqtt_filter_file_read(int dir_fd, struct mqtt_filter_list *l, struct error *reterr)
{
    int fd = openat(dir_fd, FILTERS_FILE, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    _cleanup_fclose_ FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    if (!f)
        return error_set_errno(reterr, errno, "cannot open the spool's file %s", FILTERS_FILE);
    _cleanup_free_ char *line = NULL;
    size_t capacity = 0;
    ssize_t n;
    while ((n = getline(&line, &capacity, f)) > 0) {
        if (line[n - 1] == '\n')
            line[n - 1] = '\0';
        if (line[0])
            mqtt_filter_list_add(l, line);
    }
    if (ferror(f))
        return error_set_errno(reterr, errno, "cannot read the spool's file %s", FILTERS_FILE);
    return 0;
}

int mqtt_filter_file_write(const struct spool_fs *fs, int dir_fd, const struct mqtt_filter_list *l,
                           struct error *reterr)
{
    struct buffer text = {0};
    for (size_t i = 0; i < l->count; i++)
        buffer_printf(&text, "%s\n", l->filters[i]);
    int r = spool_fs_replace(fs, dir_fd, FILTERS_FILE, text.data, text.len);
    buffer_release(&text);
    return r < 0 ? error_set_errno(reterr, -r, "cannot write the spool's file %s", FILTERS_FILE) : 0;
}
