/*
 * Makes the benchmark's remote write 1.0 requests, as a frame file (tests/real/produce.c) on stdout.
 *
 *   remote_write_load HOSTS STEPS STEP-MS START-MS PARTITIONS SAMPLES-MIN SAMPLES-MAX SEED
 *
 * What 16 Prometheus agents send that scrape HOSTS hosts: the series of a node exporter and of a cAdvisor,
 * 400 a host, with 9 to 11 labels sorted by name; one sample a series and request, SAMPLES-MIN to SAMPLES-MAX
 * of them; the whole a snappy block. The agents' requests keep the order in which hosts are scraped, all
 * series of a scrape with its time. Of the values about 30 in 100 never change, as those of a real node
 * exporter; the rest are counters (bytes, events, CPU seconds with two decimals) and gauges (bytes, loads).
 * On stderr: samples, messages, bytes, bytes before snappy.
 */
#include <inttypes.h>
#include <snappy-c.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGENTS          16
#define SERIES_PER_HOST 400
#define LABELS_MAX      12
#define LABELS_BYTES    1024 /* more than the labels of a series take */
#define SAMPLE_BYTES    32   /* more than a sample and the series' own tag and length take */

static uint64_t state;

static uint64_t chance(void)
{ /* xorshift64* */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * UINT64_C(2685821657736338717);
}

/* --- series --- */

enum kind { CONSTANT, BYTES_COUNTER, EVENTS_COUNTER, SECONDS_COUNTER, BYTES_GAUGE, LOAD_GAUGE };

struct family {
    const char *name;
    enum kind kind;
    const char *labels[3]; /* of its own, beside those that all have */
    unsigned counts[3];    /* how many values each takes */
};

/* Together SERIES_PER_HOST series. */
static const struct family families[] = {
    {"node_cpu_seconds_total", SECONDS_COUNTER, {"cpu", "mode"}, {12, 8}},
    {"node_cpu_guest_seconds_total", CONSTANT, {"cpu", "mode"}, {12, 2}},
    {"node_cpu_scaling_frequency_hertz", BYTES_GAUGE, {"cpu"}, {12}},
    {"node_network_receive_bytes_total", BYTES_COUNTER, {"device"}, {6}},
    {"node_network_transmit_bytes_total", BYTES_COUNTER, {"device"}, {6}},
    {"node_network_receive_packets_total", EVENTS_COUNTER, {"device"}, {6}},
    {"node_network_transmit_packets_total", EVENTS_COUNTER, {"device"}, {6}},
    {"node_network_receive_errs_total", CONSTANT, {"device"}, {6}},
    {"node_network_transmit_errs_total", CONSTANT, {"device"}, {6}},
    {"node_network_receive_drop_total", CONSTANT, {"device"}, {6}},
    {"node_network_info", CONSTANT, {"device", "operstate", "address"}, {6, 1, 1}},
    {"node_disk_reads_completed_total", EVENTS_COUNTER, {"device"}, {4}},
    {"node_disk_writes_completed_total", EVENTS_COUNTER, {"device"}, {4}},
    {"node_disk_read_bytes_total", BYTES_COUNTER, {"device"}, {4}},
    {"node_disk_written_bytes_total", BYTES_COUNTER, {"device"}, {4}},
    {"node_disk_io_time_seconds_total", SECONDS_COUNTER, {"device"}, {4}},
    {"node_disk_io_now", LOAD_GAUGE, {"device"}, {4}},
    {"node_filesystem_avail_bytes", BYTES_GAUGE, {"device", "fstype", "mountpoint"}, {5, 1, 1}},
    {"node_filesystem_files_free", BYTES_GAUGE, {"device", "fstype", "mountpoint"}, {5, 1, 1}},
    {"node_filesystem_size_bytes", CONSTANT, {"device", "fstype", "mountpoint"}, {5, 1, 1}},
    {"node_filesystem_readonly", CONSTANT, {"device", "fstype", "mountpoint"}, {5, 1, 1}},
    {"node_memory_Active_bytes", BYTES_GAUGE, {"numa"}, {2}},
    {"node_memory_MemAvailable_bytes", BYTES_GAUGE, {"numa"}, {2}},
    {"node_memory_Cached_bytes", BYTES_GAUGE, {"numa"}, {2}},
    {"node_memory_MemTotal_bytes", CONSTANT, {"numa"}, {2}},
    {"node_load", LOAD_GAUGE, {"window"}, {3}},
    {"node_hwmon_temp_celsius", LOAD_GAUGE, {"chip"}, {4}},
    {"node_netstat_total", EVENTS_COUNTER, {"protocol", "counter"}, {4, 9}},
    {"node_systemd_unit_state", CONSTANT, {"name", "state", "type"}, {7, 5, 1}},
    {"container_cpu_usage_seconds_total", SECONDS_COUNTER, {"container", "namespace", "pod"}, {15, 1, 1}},
    {"container_memory_working_set_bytes", BYTES_GAUGE, {"container", "namespace", "pod"}, {15, 1, 1}},
    {"container_memory_cache", BYTES_GAUGE, {"container", "namespace", "pod"}, {15, 1, 1}},
    {"container_network_receive_bytes_total", BYTES_COUNTER, {"interface", "namespace", "pod"}, {15, 1, 1}},
    {"container_spec_memory_limit_bytes", CONSTANT, {"container", "namespace", "pod"}, {15, 1, 1}},
    {"container_oom_events_total", CONSTANT, {"container", "namespace", "pod"}, {15, 1, 1}},
};

struct series {
    uint8_t *labels; /* encoded: the label fields of its TimeSeries */
    unsigned labels_len;
    enum kind kind;
    int64_t value; /* in hundredths */
};

static uint8_t *put_varint(uint8_t *p, uint64_t n)
{
    for (; n >= 0x80; n >>= 7)
        *p++ = (uint8_t)(n | 0x80);
    *p++ = (uint8_t)n;
    return p;
}

static uint8_t *put_bytes(uint8_t *p, int field, const char *text)
{
    size_t len = strlen(text);
    *p++ = (uint8_t)(field << 3 | 2);
    p = put_varint(p, len);
    memcpy(p, text, len);
    return p + len;
}

struct pair {
    const char *name;
    char value[64];
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct pair *)a)->name, ((const struct pair *)b)->name);
}

/* The value that a label of a family takes. */
static void render(char *to, size_t size, const char *label, unsigned number, unsigned host, unsigned parent)
{
    static const char *const modes[] = {"idle",    "iowait", "irq",    "nice",
                                        "softirq", "steal",  "system", "user"};
    static const char *const states[] = {"active", "activating", "deactivating", "failed", "inactive"};
    static const char *const protocols[] = {"Icmp", "Ip", "Tcp", "Udp"};
    if (!strcmp(label, "mode"))
        snprintf(to, size, "%s", modes[number % 8]);
    else if (!strcmp(label, "state"))
        snprintf(to, size, "%s", states[number % 5]);
    else if (!strcmp(label, "protocol"))
        snprintf(to, size, "%s", protocols[number % 4]);
    else if (!strcmp(label, "cpu") || !strcmp(label, "numa"))
        snprintf(to, size, "%u", number);
    else if (!strcmp(label, "mountpoint"))
        snprintf(to, size, "/var/lib/volumes/%u", parent);
    else if (!strcmp(label, "fstype"))
        snprintf(to, size, "ext4");
    else if (!strcmp(label, "pod"))
        snprintf(to, size, "api-server-%u-%08" PRIx32, parent, (uint32_t)(host * 2654435761U + parent));
    else if (!strcmp(label, "namespace"))
        snprintf(to, size, "team-%u", (host + parent) % 40);
    else if (!strcmp(label, "address"))
        snprintf(to, size, "02:42:%02x:%02x:00:%02x", host >> 8 & 255, host & 255, parent);
    else
        snprintf(to, size, "%s%u", label, number);
}

static void make_series(struct series *s, const struct family *f, const unsigned at[3], unsigned host)
{
    struct pair pairs[LABELS_MAX] = {
        {"__name__", ""}, {"cluster", ""}, {"datacenter", ""}, {"environment", "production"},
        {"instance", ""}, {"job", ""},     {"prometheus", ""}, {"rack", ""},
    };
    unsigned count = 8;
    int of_container = !strncmp(f->name, "container_", 10);
    snprintf(pairs[0].value, sizeof pairs[0].value, "%s", f->name);
    snprintf(pairs[1].value, sizeof pairs[1].value, "cluster-%u", host % 4);
    snprintf(pairs[2].value, sizeof pairs[2].value, "eu-west-%u", host % 3);
    snprintf(pairs[4].value, sizeof pairs[4].value, "10.%u.%u.%u:9100", host >> 16, host >> 8 & 255,
             host & 255);
    snprintf(pairs[5].value, sizeof pairs[5].value, "%s", of_container ? "kubelet" : "node-exporter");
    snprintf(pairs[6].value, sizeof pairs[6].value, "monitoring/agent-%u", host % AGENTS);
    snprintf(pairs[7].value, sizeof pairs[7].value, "r%02u", host % 50);
    for (unsigned i = 0; i < 3 && f->labels[i]; i++) {
        pairs[count].name = f->labels[i];
        render(pairs[count].value, sizeof pairs[count].value, f->labels[i], at[i], host, at[0]);
        count++;
    }
    qsort(pairs, count, sizeof *pairs, by_name);
    uint8_t bytes[LABELS_BYTES], *p = bytes;
    for (unsigned i = 0; i < count; i++) {
        uint8_t label[128], *end = put_bytes(put_bytes(label, 1, pairs[i].name), 2, pairs[i].value);
        *p++ = 1 << 3 | 2;
        p = put_varint(p, (uint64_t)(end - label));
        memcpy(p, label, (size_t)(end - label));
        p += end - label;
    }
    s->labels_len = (unsigned)(p - bytes);
    s->labels = malloc(s->labels_len);
    if (!s->labels)
        exit(1);
    memcpy(s->labels, bytes, s->labels_len);
    s->kind = f->kind;
    s->value = (int64_t)(chance() % 100000000) * 100;
    if (f->kind == CONSTANT)
        s->value = (int64_t)(chance() % 8 ? chance() % 2 : chance() % 1000000) * 100;
    else if (f->kind == LOAD_GAUGE)
        s->value = (int64_t)(chance() % 800);
    else if (f->kind == BYTES_GAUGE)
        s->value *= 4096;
}

static void make_host(struct series *all, unsigned host)
{
    unsigned made = 0;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        const struct family *f = &families[i];
        unsigned at[3], counts[3];
        for (int k = 0; k < 3; k++)
            counts[k] = f->counts[k] ? f->counts[k] : 1;
        for (at[0] = 0; at[0] < counts[0]; at[0]++)
            for (at[1] = 0; at[1] < counts[1]; at[1]++)
                for (at[2] = 0; at[2] < counts[2]; at[2]++, made++) {
                    if (made < SERIES_PER_HOST)
                        make_series(&all[made], f, at, host);
                }
    }
    if (made != SERIES_PER_HOST) {
        fprintf(stderr, "remote_write_load: the families make %u series a host\n", made);
        exit(70);
    }
}

static double next_value(struct series *s)
{
    uint64_t r = chance();
    switch (s->kind) {
    case CONSTANT:
        break;
    case BYTES_COUNTER:
        s->value += (int64_t)(r % 3000000) * 100;
        break;
    case EVENTS_COUNTER:
        if (r % 4)
            s->value += (int64_t)(r >> 32) % 2000 * 100;
        break;
    case SECONDS_COUNTER:
        s->value += (int64_t)(r % 1500);
        break;
    case BYTES_GAUGE:
        s->value += ((int64_t)(r % 2001) - 1000) * 409600;
        break;
    case LOAD_GAUGE:
        s->value += (int64_t)(r % 41) - 20;
        break;
    }
    if (s->value < 0)
        s->value = 0;
    return (double)s->value / 100;
}

/* --- requests --- */

struct agent {
    uint8_t *start, *end;
    unsigned samples, limit;
    uint32_t partition;
};

static uint64_t messages, bytes, bytes_unpacked;
static char *packed;

static void send_request(struct agent *a)
{
    size_t len = (size_t)(a->end - a->start), packed_len = snappy_max_compressed_length(len);
    if (snappy_compress((const char *)a->start, len, packed, &packed_len) != SNAPPY_OK)
        exit(1);
    uint32_t header[4] = {a->partition, 0, UINT32_MAX, (uint32_t)packed_len};
    if (fwrite(header, sizeof header, 1, stdout) != 1 || fwrite(packed, packed_len, 1, stdout) != 1)
        exit(1);
    messages++;
    bytes += packed_len;
    bytes_unpacked += len;
    a->end = a->start;
    a->samples = 0;
}

static void add_sample(struct agent *a, struct series *s, int64_t when_ms)
{
    double value = next_value(s);
    uint8_t sample[SAMPLE_BYTES], *p = sample;
    *p++ = 1 << 3 | 1;
    memcpy(p, &value, 8);
    p += 8;
    *p++ = 2 << 3 | 0;
    p = put_varint(p, (uint64_t)when_ms);
    size_t sample_len = (size_t)(p - sample);
    uint8_t *out = a->end;
    *out++ = 1 << 3 | 2;
    out = put_varint(out, s->labels_len + 2 + sample_len);
    memcpy(out, s->labels, s->labels_len);
    out += s->labels_len;
    *out++ = 2 << 3 | 2;
    *out++ = (uint8_t)sample_len;
    memcpy(out, sample, sample_len);
    a->end = out + sample_len;
    a->samples++;
}

int main(int argc, char **argv)
{
    if (argc != 9) {
        fprintf(stderr, "usage: remote_write_load HOSTS STEPS STEP-MS START-MS PARTITIONS SAMPLES-MIN "
                        "SAMPLES-MAX SEED\n");
        return 64;
    }
    unsigned hosts = (unsigned)atoi(argv[1]), steps = (unsigned)atoi(argv[2]);
    int64_t step_ms = atoll(argv[3]), start_ms = atoll(argv[4]);
    unsigned partitions = (unsigned)atoi(argv[5]);
    unsigned samples_min = (unsigned)atoi(argv[6]), samples_max = (unsigned)atoi(argv[7]);
    state = (uint64_t)atoll(argv[8]) * 2 + 1;
    if (!hosts || !partitions || !samples_min || samples_max < samples_min) {
        fprintf(stderr, "remote_write_load: nothing may be 0, and SAMPLES-MAX not below SAMPLES-MIN\n");
        return 64;
    }
    struct series *series = calloc((size_t)hosts * SERIES_PER_HOST, sizeof *series);
    size_t request_max = (size_t)samples_max * (LABELS_BYTES + SAMPLE_BYTES);
    struct agent agents[AGENTS];
    packed = malloc(snappy_max_compressed_length(request_max));
    if (!series || !packed)
        return 1;
    for (unsigned i = 0; i < AGENTS; i++) {
        agents[i] = (struct agent){.limit = samples_max, .partition = i % partitions};
        if (!(agents[i].start = agents[i].end = malloc(request_max)))
            return 1;
    }
    for (unsigned h = 0; h < hosts; h++)
        make_host(series + (size_t)h * SERIES_PER_HOST, h);
    for (unsigned s = 0; s < steps; s++) {
        for (unsigned h = 0; h < hosts; h++) {
            struct agent *a = &agents[h % AGENTS];
            int64_t when = start_ms + (int64_t)s * step_ms + (int64_t)h * 7919 % step_ms;
            for (unsigned i = 0; i < SERIES_PER_HOST; i++) {
                add_sample(a, &series[(size_t)h * SERIES_PER_HOST + i], when);
                if (a->samples < a->limit)
                    continue;
                send_request(a);
                a->limit = samples_min + (unsigned)(chance() % (samples_max - samples_min + 1));
            }
        }
    }
    for (unsigned i = 0; i < AGENTS; i++)
        if (agents[i].samples)
            send_request(&agents[i]);
    if (fflush(stdout) != 0)
        return 1;
    fprintf(stderr, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
            (uint64_t)hosts * steps * SERIES_PER_HOST, messages, bytes, bytes_unpacked);
    return 0;
}
