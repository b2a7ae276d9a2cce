/* What the kernel knows of this process, and the memory that it may use. */
#ifndef VARVE_SRC_PROCESS_STATS_H
#define VARVE_SRC_PROCESS_STATS_H

#include <stdint.h>

struct process_stats {
    double cpu_seconds; /* user and system, all threads */
    uint64_t resident_bytes, virtual_bytes;
    uint64_t threads, open_fds;
    double start_time_seconds; /* since 1970 */
};

/* What can't be read is 0. */
void process_stats_get(struct process_stats *ret);

/* Memory that this process holds and that the kernel can't take back: what counts when memory runs out. */
uint64_t process_memory_used(void);

/* The memory of the machine, or of the cgroup (v2 or v1) where that has less. */
uint64_t process_memory_total(void);

#endif
