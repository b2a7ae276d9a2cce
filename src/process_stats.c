#include "src/process_stats.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "src/base/cleanup.h"
#include "src/base/clock.h"

/* The first size bytes of a file, with a zero after them; "" if it can't be read. */
static void read_text(const char *path, char *dst, size_t size)
{
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    size_t n = f ? fread(dst, 1, size - 1, f) : 0;
    dst[n] = '\0';
}

static uint64_t count_entries(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir)
        return 0;
    uint64_t count = 0;
    while (readdir(dir))
        count++;
    (void)closedir(dir);
    return count > 3 ? count - 3 : 0; /* ".", ".." and the directory itself */
}

/* n-th field (from 1) of /proc/self/stat; the second, the name, may hold anything but ends at the last ')'.
 */
static uint64_t stat_field(const char *stat, int n)
{
    const char *p = strrchr(stat, ')');
    for (int i = 2; p && i < n; i++)
        p = strchr(p + 1, ' ');
    return p ? strtoull(p + 1, NULL, 10) : 0;
}

void process_stats_get(struct process_stats *ret)
{
    char stat[1024];
    struct rusage usage;
    *ret = (struct process_stats){0};
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        ret->cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    read_text("/proc/self/stat", stat, sizeof stat);
    ret->threads = stat_field(stat, 20);
    ret->virtual_bytes = stat_field(stat, 23);
    ret->resident_bytes = stat_field(stat, 24) * (uint64_t)sysconf(_SC_PAGESIZE);
    ret->open_fds = count_entries("/proc/self/fd");

    char uptime[64];
    read_text("/proc/uptime", uptime, sizeof uptime);
    double boot = (double)clock_now_ms() / 1e3 - strtod(uptime, NULL);
    ret->start_time_seconds = boot + (double)stat_field(stat, 22) / (double)sysconf(_SC_CLK_TCK);
}

uint64_t process_memory_used(void)
{
    char text[128], *end;
    read_text("/proc/self/statm", text, sizeof text);
    /* Pages: of addresses, resident, and of these shared: pages of files, mapped parts among them. */
    (void)strtoull(text, &end, 10);
    uint64_t resident = strtoull(end, &end, 10), shared = strtoull(end, &end, 10);
    return shared < resident ? (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* The smallest limit on the way from a cgroup up to the root. */
static uint64_t cgroup_limit(const char *root, const char *group, const char *file)
{
    char path[4096 + 64], text[64], dir[4096];
    uint64_t least = UINT64_MAX;
    snprintf(dir, sizeof dir, "%s", group);
    for (;;) {
        snprintf(path, sizeof path, "%s%s/%s", root, dir, file);
        read_text(path, text, sizeof text);
        uint64_t limit = text[0] >= '0' && text[0] <= '9' ? strtoull(text, NULL, 10) : UINT64_MAX;
        if (limit < least)
            least = limit;
        char *slash = strrchr(dir, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

/* Lines of /proc/self/cgroup: "0::/path" (v2), "9:memory:/path" (v1). */
static uint64_t cgroups_limit(void)
{
    char text[4096];
    uint64_t least = UINT64_MAX;
    read_text("/proc/self/cgroup", text, sizeof text);
    for (char *line = text; *line;) {
        char *end = line + strcspn(line, "\n");
        char *next = *end ? end + 1 : end;
        *end = '\0';
        uint64_t limit = UINT64_MAX;
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (group && strncmp(line, "0::", 3) == 0)
            limit = cgroup_limit("/sys/fs/cgroup", group + 1, "memory.max");
        else if (group && strncmp(controllers, ":memory:", 8) == 0)
            limit = cgroup_limit("/sys/fs/cgroup/memory", group + 1, "memory.limit_in_bytes");
        if (limit < least)
            least = limit;
        line = next;
    }
    return least;
}

uint64_t process_memory_total(void)
{
    struct sysinfo info;
    uint64_t machine = sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : UINT64_MAX;
    uint64_t cgroup = cgroups_limit();
    return cgroup < machine ? cgroup : machine;
}
