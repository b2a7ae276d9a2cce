#include "storage/series/label_order.h"

/* Never to be changed: names on disk were sorted by it. */
static const struct {
    const char *name;
    uint8_t len;
    uint8_t key[3];
} common_labels[] = {
#define LABEL(name, group, rank) \
    {                            \
        name, sizeof name - 1,   \
        {                        \
            0, group, rank       \
        }                        \
    }
    /* job-like */
    LABEL("namespace", 0, 0x00),
    LABEL("ns", 0, 0x01),
    LABEL("datacenter", 0, 0x08),
    LABEL("dc", 0, 0x09),
    LABEL("environment", 0, 0x0c),
    LABEL("env", 0, 0x0d),
    LABEL("cluster", 0, 0x10),
    LABEL("service", 0, 0x18),
    LABEL("job", 0, 0x20),
    LABEL("model", 0, 0x28),
    LABEL("type", 0, 0x30),
    LABEL("sensor_type", 0, 0x38),
    LABEL("SensorType", 0, 0x38),
    LABEL("db", 0, 0x40),
    /* instance-like */
    LABEL("instance", 1, 0x00),
    LABEL("host", 1, 0x08),
    LABEL("server", 1, 0x10),
    LABEL("pod", 1, 0x18),
    LABEL("node", 1, 0x20),
    LABEL("device", 1, 0x28),
    LABEL("tenant", 1, 0x30),
    LABEL("client", 1, 0x38),
    LABEL("name", 1, 0x40),
    LABEL("measurement", 1, 0x48),
#undef LABEL
};

#define COMMON_LABEL_LEN_MIN 2
#define COMMON_LABEL_LEN_MAX 11

/* The first letter may be upper case, the others as they stand in the table. */
static bool is_common(const char *common, const char *name, size_t len)
{
    char first = name[0];
    if (first != common[0] && !(first >= 'A' && first <= 'Z' && first + ('a' - 'A') == common[0]))
        return false;
    return memcmp(common + 1, name + 1, len - 1) == 0;
}

struct item label_sort_key(const char *name, size_t len)
{
    if (len >= COMMON_LABEL_LEN_MIN && len <= COMMON_LABEL_LEN_MAX)
        for (size_t i = 0; i < sizeof common_labels / sizeof *common_labels; i++)
            if (common_labels[i].len == len && is_common(common_labels[i].name, name, len))
                return (struct item){common_labels[i].key, sizeof common_labels[i].key};
    return (struct item){(const uint8_t *)name, len};
}
