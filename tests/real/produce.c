/*
 * Produces the messages of a frame file (or of stdin, "-") to one Kafka topic, fast, idempotently, each
 * partition in the file's order.
 *
 *   produce BROKERS TOPIC FILE [--codec lz4] [--rate MESSAGES-A-SECOND] [--max-bytes N] [--loop N]
 *                             [--rich 1]
 *
 * A frame is four little-endian 32-bit numbers (partition or -1, record time's offset in ms or 0, key size,
 * value size; a size of 0xffffffff means null), then key and value. With --rich, more stands between the
 * numbers and the key: the record's time in ms since 1970 (64 bits), the sizes of the topic and of the
 * headers (32 bits each), the topic (else TOPIC), and the headers, each as the sizes of its name and value
 * (16 bits each) and these. Prints the number delivered when all are acknowledged. Exit 1 if one wasn't.
 */
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static long delivered, undelivered;
static char error_text[512];

static void die(const char *what, const char *why)
{
    fprintf(stderr, "produce: %s: %s\n", what, why);
    exit(1);
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    (void)rk;
    (void)opaque;
    if (m->err) {
        if (undelivered++ == 0)
            fprintf(stderr, "produce: %s\n", rd_kafka_err2str(m->err));
    } else
        delivered++;
}

static void set(rd_kafka_conf_t *conf, const char *key, const char *value)
{
    if (rd_kafka_conf_set(conf, key, value, error_text, sizeof error_text))
        die(key, error_text);
}

/* What --rich adds to a frame. */
struct surroundings {
    int64_t time_ms;
    char topic[256];
    rd_kafka_headers_t *headers; /* NULL: none */
};

static void read_exactly(FILE *f, void *to, size_t size)
{
    if (fread(to, 1, size, f) != size)
        die("input", "ends within a frame");
}

static void read_surroundings(FILE *f, struct surroundings *s)
{
    uint32_t topic_size, headers_size;
    static char names[65536], values[65536];
    read_exactly(f, &s->time_ms, sizeof s->time_ms);
    read_exactly(f, &topic_size, sizeof topic_size);
    read_exactly(f, &headers_size, sizeof headers_size);
    if (topic_size >= sizeof s->topic)
        die("input", "a topic's name is too long");
    read_exactly(f, s->topic, topic_size);
    s->topic[topic_size] = 0;
    s->headers = headers_size ? rd_kafka_headers_new(4) : NULL;
    for (uint32_t at = 0; at < headers_size;) {
        uint16_t sizes[2];
        read_exactly(f, sizes, sizeof sizes);
        read_exactly(f, names, sizes[0]);
        read_exactly(f, values, sizes[1]);
        rd_kafka_header_add(s->headers, names, sizes[0], values, sizes[1]);
        at += (uint32_t)(sizeof sizes + sizes[0] + sizes[1]);
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: produce BROKERS TOPIC FILE [--codec C] [--rate N] [--max-bytes N] [--loop N] "
                        "[--rich 1]\n");
        return 64;
    }
    const char *codec = "lz4", *max_bytes = NULL;
    double rate = 0;
    int loops = 1;
    bool is_rich = false;
    for (int i = 4; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--codec"))
            codec = argv[i + 1];
        else if (!strcmp(argv[i], "--rate"))
            rate = atof(argv[i + 1]);
        else if (!strcmp(argv[i], "--max-bytes"))
            max_bytes = argv[i + 1];
        else if (!strcmp(argv[i], "--loop"))
            loops = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--rich"))
            is_rich = atoi(argv[i + 1]);
        else
            die("unknown option", argv[i]);
    }
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", argv[1]);
    set(conf, "enable.idempotence", "true");
    set(conf, "compression.codec", codec);
    set(conf, "linger.ms", rate > 0 ? "5" : "20");
    set(conf, "queue.buffering.max.kbytes", "1048576");
    set(conf, "message.timeout.ms", "300000");
    set(conf, "log_level", "3");
    if (max_bytes)
        set(conf, "message.max.bytes", max_bytes);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error_text, sizeof error_text);
    if (!rk)
        die("client", error_text);

    FILE *f = strcmp(argv[3], "-") ? fopen(argv[3], "rb") : stdin;
    if (!f)
        die(argv[3], "can't be opened");
    char *buffer = NULL;
    size_t capacity = 0;
    double start = now();
    long sent = 0;
    for (int loop = 0; loop < loops; loop++) {
        uint32_t h[4];
        while (fread(h, sizeof h, 1, f) == 1) {
            size_t key_size = h[2] == UINT32_MAX ? 0 : h[2], value_size = h[3] == UINT32_MAX ? 0 : h[3];
            struct surroundings around = {0};
            if (is_rich)
                read_surroundings(f, &around);
            if (key_size + value_size + 1 > capacity) {
                capacity = 2 * (key_size + value_size) + 4096;
                buffer = realloc(buffer, capacity);
                if (!buffer)
                    die("frame", "out of memory");
            }
            if (fread(buffer, 1, key_size + value_size, f) != key_size + value_size)
                die(argv[3], "ends within a frame");
            while (rate > 0 && (double)sent > rate * (now() - start)) {
                struct timespec pause = {0, 2000000};
                rd_kafka_poll(rk, 0);
                nanosleep(&pause, NULL);
            }
            int64_t when = around.time_ms;
            if (h[1]) {
                struct timespec t;
                clock_gettime(CLOCK_REALTIME, &t);
                when = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + (int32_t)h[1];
            }
            rd_kafka_resp_err_t e;
            const char *topic = around.topic[0] ? around.topic : argv[2];
            while ((e = rd_kafka_producev(
                        rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_HEADERS(around.headers),
                        RD_KAFKA_V_PARTITION((int32_t)h[0]),
                        RD_KAFKA_V_KEY(h[2] == UINT32_MAX ? NULL : buffer, key_size),
                        RD_KAFKA_V_VALUE(h[3] == UINT32_MAX ? NULL : buffer + key_size, value_size),
                        RD_KAFKA_V_TIMESTAMP(when), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                        RD_KAFKA_V_END)) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
                rd_kafka_poll(rk, 50);
            if (e)
                die("produce", rd_kafka_err2str(e));
            sent++;
            rd_kafka_poll(rk, 0);
        }
        rewind(f);
    }
    rd_kafka_flush(rk, 300000);
    printf("%ld\n", delivered);
    rd_kafka_destroy(rk);
    free(buffer);
    fclose(f);
    return undelivered || delivered != sent;
}
