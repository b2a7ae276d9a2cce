#include "src/server_progress.h"

#include <stdlib.h>
#include <string.h>

#define RUNNING "varve_forced_merge_running"

/* Where each number of the struct stands. */
static const struct {
    const char *name;
    size_t offset, size;
} fields[] = {
#define FIELD(name, member)                                    \
    {                                                          \
        name, offsetof(struct storage_merge_progress, member), \
            sizeof((struct storage_merge_progress *)0)->member \
    }
    FIELD("varve_forced_merges_waiting", waiting),
    FIELD("varve_forced_merges_total", done_total),
    FIELD("varve_forced_merges_failed_total", failed_total),
    FIELD("varve_forced_merge_months_done", months_done),
    FIELD("varve_forced_merge_months", months_count),
    FIELD("varve_forced_merge_rows_done", rows_done),
    FIELD("varve_forced_merge_rows", rows_total),
    FIELD("varve_forced_merge_bytes_done", bytes_done),
    FIELD("varve_forced_merge_bytes", bytes_total),
#undef FIELD
};
enum { FIELDS_COUNT = sizeof fields / sizeof fields[0] };
#define LEFT "varve_forced_merge_left_seconds"

_Static_assert(sizeof(size_t) == sizeof(uint64_t), "all of them are read and written as uint64_t");

void server_progress_write(struct exposition *x, const struct storage_merge_progress *p)
{
    for (size_t i = 0; i < FIELDS_COUNT; i++) {
        uint64_t value;
        memcpy(&value, (const char *)p + fields[i].offset, sizeof value);
        exposition_add(x, fields[i].name, (double)value, NULL);
    }
    exposition_add(x, LEFT, (double)p->left_ms / 1000, NULL);
    exposition_add(x, RUNNING, p->running, METRIC_LABELS("month", p->month));
}

/* The line's value, if the line is of that metric; *ret_labels what follows the name. */
static bool value_of(const char *line, const char *name, double *ret_value, const char **ret_labels)
{
    size_t len = strlen(name);
    if (strncmp(line, name, len) != 0 || (line[len] != ' ' && line[len] != '{'))
        return false;
    const char *end = strchr(line, '\n'), *value = line + len;
    while (*value && *value != ' ' && value != end)
        value++;
    *ret_labels = line + len;
    *ret_value = strtod(value, NULL);
    return *value == ' ';
}

static void read_month(struct storage_merge_progress *p, const char *labels)
{
    static const char begin[] = "{month=\"";
    if (strncmp(labels, begin, sizeof begin - 1) != 0)
        return;
    const char *month = labels + sizeof begin - 1;
    size_t len = strcspn(month, "\"\n");
    if (len < sizeof p->month)
        memcpy(p->month, month, len);
}

static bool read_line(struct storage_merge_progress *p, const char *line)
{
    const char *labels;
    double value;
    if (value_of(line, LEFT, &value, &labels))
        p->left_ms = (int64_t)(value * 1000);
    if (value_of(line, RUNNING, &value, &labels)) {
        p->running = value != 0;
        read_month(p, labels);
        return true;
    }
    for (size_t i = 0; i < FIELDS_COUNT; i++) {
        if (!value_of(line, fields[i].name, &value, &labels))
            continue;
        uint64_t n = value > 0 ? (uint64_t)value : 0;
        memcpy((char *)p + fields[i].offset, &n, sizeof n);
    }
    return false;
}

bool server_progress_read(struct storage_merge_progress *ret, const char *text)
{
    bool found = false;
    *ret = (struct storage_merge_progress){0};
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL)
        found |= read_line(ret, line);
    return found;
}
