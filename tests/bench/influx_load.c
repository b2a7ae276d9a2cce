/*
 * Makes the benchmarks' messages: influx lines of a fleet of hosts, as a frame file (tests/real/produce.c) on
 * stdout.
 *
 *   influx_load HOSTS FIELDS FIELDS-PER-LINE LINES-PER-MESSAGE STEPS STEP-MS START-MS PARTITIONS SEED
 *
 * Each host has FIELDS fields in FIELDS / FIELDS-PER-LINE measurements (machine_0, machine_1, ...), each with
 * tags host, region, rack and service. A step gives each host one line a measurement. A quarter of the fields
 * are counters, a quarter slow gauges with two decimals, a quarter fast gauges with one, a quarter integers
 * that seldom change: about what node and plant agents send. A host always goes to the same partition. On
 * stderr: samples, messages, bytes.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;

static uint64_t chance(void)
{ /* xorshift64* */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * UINT64_C(2685821657736338717);
}

static char *put_number(char *p, uint64_t n)
{
    char digits[20];
    int count = 0;
    do
        digits[count++] = (char)('0' + n % 10);
    while (n /= 10);
    while (count)
        *p++ = digits[--count];
    return p;
}

/* n / 10^decimals */
static char *put_decimal(char *p, int64_t n, int decimals)
{
    if (n < 0) {
        *p++ = '-';
        n = -n;
    }
    uint64_t unit = decimals == 2 ? 100 : 10;
    p = put_number(p, (uint64_t)n / unit);
    *p++ = '.';
    if (decimals == 2)
        *p++ = (char)('0' + (uint64_t)n % unit / 10);
    *p++ = (char)('0' + (uint64_t)n % 10);
    return p;
}

/* More than any of these pieces takes; the buffers are sized by the line. */
#define FIELD_BYTES_MAX     64
#define LINE_HEAD_BYTES_MAX 160
#define LINE_END_BYTES_MAX  32

static char *put_field(char *p, int64_t *value, unsigned field)
{
    static const char *const names[] = {"bytes_sent", "temperature", "usage_system", "queue_length"};
    p += snprintf(p, FIELD_BYTES_MAX, "%s_%u=", names[field % 4], field);
    uint64_t r = chance();
    switch (field % 4) {
    case 0:
        *value += (int64_t)(r % 5000);
        p = put_number(p, (uint64_t)*value);
        *p++ = 'i';
        return p;
    case 1:
        *value += (int64_t)(r % 41) - 20;
        return put_decimal(p, *value, 2);
    case 2:
        return put_decimal(p, (int64_t)(r % 1000), 1);
    default:
        if (r % 32 == 0)
            *value = (int64_t)(r >> 32) % 100;
        p = put_number(p, (uint64_t)*value);
        *p++ = 'i';
        return p;
    }
}

int main(int argc, char **argv)
{
    if (argc != 10) {
        fprintf(stderr, "usage: influx_load HOSTS FIELDS FIELDS-PER-LINE LINES-PER-MESSAGE STEPS STEP-MS "
                        "START-MS PARTITIONS SEED\n");
        return 64;
    }
    unsigned hosts = (unsigned)atoi(argv[1]), fields = (unsigned)atoi(argv[2]),
             per_line = (unsigned)atoi(argv[3]);
    unsigned lines = (unsigned)atoi(argv[4]), steps = (unsigned)atoi(argv[5]),
             partitions = (unsigned)atoi(argv[8]);
    int64_t step_ms = atoll(argv[6]), start_ms = atoll(argv[7]);
    state = (uint64_t)atoll(argv[9]) * 2 + 1;
    if (!hosts || !per_line || fields % per_line || !lines || !partitions) {
        fprintf(stderr, "influx_load: FIELDS must be a multiple of FIELDS-PER-LINE, and nothing 0\n");
        return 64;
    }
    size_t line_size = 160 + (size_t)per_line * 48, capacity = line_size * lines;
    int64_t *values = calloc((size_t)hosts * fields, sizeof *values);
    char **buffers = calloc(partitions, sizeof *buffers), **ends = calloc(partitions, sizeof *ends);
    unsigned *filled = calloc(partitions, sizeof *filled);
    if (!values || !buffers || !ends || !filled)
        return 1;
    for (unsigned p = 0; p < partitions; p++)
        if (!(ends[p] = buffers[p] = malloc(capacity)))
            return 1;
    for (size_t i = 0; i < (size_t)hosts * fields; i++)
        values[i] = (int64_t)(chance() % 100000);
    uint64_t samples = 0, messages = 0, bytes = 0;
    for (unsigned s = 0; s <= steps; s++) {
        for (unsigned h = 0; h < hosts; h++) {
            unsigned part = h % partitions;
            for (unsigned first = 0; first < fields; first += per_line) {
                if (filled[part] == lines || (s == steps && filled[part])) {
                    uint32_t header[4] = {part, 0, UINT32_MAX, (uint32_t)(ends[part] - buffers[part])};
                    if (fwrite(header, sizeof header, 1, stdout) != 1 ||
                        fwrite(buffers[part], header[3], 1, stdout) != 1)
                        return 1;
                    messages++;
                    bytes += header[3];
                    ends[part] = buffers[part];
                    filled[part] = 0;
                }
                if (s == steps)
                    break;
                char *p = ends[part];
                p += snprintf(p, LINE_HEAD_BYTES_MAX,
                              "machine_%u,host=host_%u,region=region-%u,rack=%u,service=svc%u ",
                              first / per_line, h, h % 7, h % 50, h % 19);
                for (unsigned f = first; f < first + per_line; f++) {
                    if (f > first)
                        *p++ = ',';
                    p = put_field(p, &values[(size_t)h * fields + f], f);
                }
                int64_t when = start_ms + (int64_t)s * step_ms + h % 1000;
                p += snprintf(p, LINE_END_BYTES_MAX, " %" PRId64 "\n", when * 1000000);
                ends[part] = p;
                filled[part]++;
                samples += per_line;
            }
        }
    }
    if (fflush(stdout) != 0)
        return 1;
    fprintf(stderr, "%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", samples, messages, bytes);
    return 0;
}
