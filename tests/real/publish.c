/*
 * Publishes the messages of a frame file (or of stdin, "-") to one MQTT broker over one connection, fast, in
 * the file's order: MQTT 5 on a plain socket, with many QoS 1 messages in flight.
 *
 *   publish HOST:PORT FILE [--client-id ID] [--user U --password P] [--inflight N] [--rate MESSAGES-A-SECOND]
 *                          [--loop N] [--to-nobody allow|refuse]
 *
 *   --inflight N       QoS 1 messages without their PUBACK, at most what the broker's receive maximum allows
 * (default 1000)
 *   --rate N           messages a second; 0, the default, is as fast as it goes
 *   --loop N           the file N times (not stdin)
 *   --to-nobody refuse a PUBACK "no matching subscribers" counts as failed: who is to receive hasn't
 * subscribed
 *
 * A frame is three little-endian 32-bit numbers, then topic and payload:
 *
 *   flags              bits 0-1 the QoS (0 or 1), bit 2 retain
 *   topic size         1 .. 65535
 *   payload size
 *
 * stdin is read as it comes: a frame that is written to the pipe is published at once, and the end of stdin
 * ends the program. Prints "ACKED SENT-QOS0" when all QoS 1 messages are acknowledged and the QoS 0 ones are
 * written out; PUBACKs come in the order of publishing, so ACKED also says which messages the broker has when
 * the program failed. Exit 1 if a message was refused or the connection was lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define KEEP_ALIVE_S  60
#define OUTPUT_ENOUGH (1 << 18) /* bytes not yet written at which no more packets are made */
#define FRAME_HEAD    12u
#define PAYLOAD_MAX   ((256u << 20) - (1u << 17)) /* with its topic, a packet that MQTT can have */

/* Bytes at data[head .. tail) of an allocation of `capacity`. */
struct bytes {
    uint8_t *data;
    size_t head, tail, capacity;
};

struct publisher {
    int in, net;
    const char *in_name;
    bool in_ended, in_is_pipe; /* a pipe may have nothing for now */
    struct bytes frames, out, answers;
    long loops_left;
    uint8_t outstanding[65536]; /* packet ids that wait for their PUBACK */
    unsigned next_id, in_flight, in_flight_max;
    long acked, refused, sent, sent_unacknowledged;
    bool nobody_is_refused;
    double rate, begin, last_write;
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "publish: %s: %s\n", what, why);
    exit(1);
}

static _Noreturn void lost(const struct publisher *p, const char *why)
{
    printf("%ld %ld\n", p->acked, p->sent_unacknowledged);
    fflush(stdout);
    die("connection", why);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t pending(const struct bytes *b)
{
    return b->tail - b->head;
}

/* Room for `more` bytes at the tail. */
static uint8_t *reserve(struct bytes *b, size_t more)
{
    if (b->head == b->tail)
        b->head = b->tail = 0;
    if (b->capacity - b->tail < more && b->head > 0) {
        memmove(b->data, b->data + b->head, pending(b));
        b->tail -= b->head;
        b->head = 0;
    }
    if (b->capacity - b->tail < more) {
        b->capacity = 2 * (b->tail + more);
        b->data = realloc(b->data, b->capacity);
        if (!b->data)
            die("buffer", "out of memory");
    }
    return b->data + b->tail;
}

static void put(struct bytes *b, const void *data, size_t size)
{
    memcpy(reserve(b, size), data, size);
    b->tail += size;
}

static void put_u8(struct bytes *b, unsigned v)
{
    put(b, &(uint8_t){(uint8_t)v}, 1);
}

static void put_u16(struct bytes *b, unsigned v)
{
    put(b, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

static void put_text(struct bytes *b, const void *text, size_t size)
{
    put_u16(b, (unsigned)size);
    put(b, text, size);
}

static void put_length(struct bytes *b, size_t n)
{
    do {
        put_u8(b, (unsigned)(n % 128 + (n >= 128 ? 128 : 0)));
        n /= 128;
    } while (n > 0);
}

/* Variable byte integer at p[0 .. size) -> bytes it takes, 0 if there are too few yet. */
static size_t get_length(const uint8_t *p, size_t size, size_t *ret_value)
{
    size_t value = 0;
    for (size_t i = 0; i < size && i < 4; i++) {
        value |= (size_t)(p[i] & 127) << (7 * i);
        if (p[i] < 128) {
            *ret_value = value;
            return i + 1;
        }
    }
    return 0;
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int dial(const char *address)
{
    char host[256];
    const char *colon = strrchr(address, ':');
    if (!colon || (size_t)(colon - address) >= sizeof host)
        die(address, "is not HOST:PORT");
    memcpy(host, address, (size_t)(colon - address));
    host[colon - address] = 0;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int e = getaddrinfo(host, colon + 1, &hints, &found);
    if (e)
        die(address, gai_strerror(e));
    int fd = -1;
    for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
            e = errno;
            close(fd);
            fd = -1;
            errno = e;
        }
    }
    freeaddrinfo(found);
    if (fd < 0)
        die(address, strerror(errno));
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

static void put_connect(struct publisher *p, const char *client_id, const char *user, const char *password)
{
    struct bytes b = {0};
    put_text(&b, "MQTT", 4);
    put_u8(&b, 5);
    put_u8(&b, 0x02u | (user ? 0x80u : 0) | (password ? 0x40u : 0)); /* clean start */
    put_u16(&b, KEEP_ALIVE_S);
    put_u8(&b, 0); /* no properties */
    put_text(&b, client_id, strlen(client_id));
    if (user)
        put_text(&b, user, strlen(user));
    if (password)
        put_text(&b, password, strlen(password));
    put_u8(&p->out, 0x10);
    put_length(&p->out, pending(&b));
    put(&p->out, b.data, pending(&b));
    free(b.data);
}

static unsigned take_id(struct publisher *p)
{
    do
        p->next_id = p->next_id % 65535 + 1;
    while (p->outstanding[p->next_id]);
    p->outstanding[p->next_id] = 1;
    return p->next_id;
}

/* Why no further PUBLISH was made. */
enum obstacle { NONE, NO_FRAME, NO_PUBACK, NOT_YET };

/* Makes a PUBLISH of the next frame, unless something is in its way. */
static enum obstacle publish_next(struct publisher *p)
{
    const uint8_t *f = p->frames.data + p->frames.head;
    if (pending(&p->frames) < FRAME_HEAD)
        return NO_FRAME;
    uint32_t flags = get_u32(f), topic = get_u32(f + 4), payload = get_u32(f + 8);
    if ((flags & 3) > 1 || flags > 7 || topic < 1 || topic > 65535 || payload > PAYLOAD_MAX)
        die(p->in_name, "is not made of frames");
    if (pending(&p->frames) < (size_t)FRAME_HEAD + topic + payload)
        return NO_FRAME;
    bool qos1 = flags & 3;
    if (qos1 && p->in_flight >= p->in_flight_max)
        return NO_PUBACK;
    if (p->rate > 0 && (double)p->sent >= p->rate * (now() - p->begin))
        return NOT_YET;
    put_u8(&p->out, 0x30u | (qos1 ? 0x02u : 0) | (flags & 4 ? 0x01u : 0));
    put_length(&p->out, 2 + topic + (qos1 ? 2u : 0) + 1 + payload);
    put_text(&p->out, f + FRAME_HEAD, topic);
    if (qos1) {
        put_u16(&p->out, take_id(p));
        p->in_flight++;
    } else
        p->sent_unacknowledged++;
    put_u8(&p->out, 0); /* no properties */
    put(&p->out, f + FRAME_HEAD + topic, payload);
    p->frames.head += FRAME_HEAD + topic + payload;
    p->sent++;
    return NONE;
}

/* Names of CONNACK's and PUBACK's reasons that a test meets; the number says the rest. */
static const char *reason(unsigned code)
{
    static char text[96];
    snprintf(text, sizeof text, "the broker answers with reason code 0x%02x%s", code,
             code == 0x10   ? " (no matching subscribers)"
             : code == 0x86 ? " (bad user name or password)"
             : code == 0x97 ? " (quota exceeded)"
                            : "");
    return text;
}

static void on_connack(struct publisher *p, const uint8_t *body, size_t size)
{
    if (size < 2 || body[1] != 0)
        die("CONNECT", reason(size < 2 ? 0xff : body[1]));
    size_t properties = 0, at = 2, n = get_length(body + at, size - at, &properties);
    at += n;
    for (size_t end = at + properties; at < end && end <= size;) {
        switch (body[at]) {
        case 0x21: /* receive maximum */
            if ((unsigned)body[at + 1] << 8 | body[at + 2])
                if (p->in_flight_max > ((unsigned)body[at + 1] << 8 | body[at + 2]))
                    p->in_flight_max = (unsigned)body[at + 1] << 8 | body[at + 2];
            at += 3;
            break;
        case 0x13: /* server keep alive */
        case 0x22: /* topic alias maximum */
            at += 3;
            break;
        case 0x11: /* session expiry */
        case 0x27: /* maximum packet size */
            at += 5;
            break;
        case 0x12: /* assigned client id */
        case 0x15: /* authentication method */
        case 0x16: /* authentication data */
        case 0x1a: /* response information */
        case 0x1c: /* server reference */
        case 0x1f: /* reason string */
            at += 3 + ((size_t)body[at + 1] << 8 | body[at + 2]);
            break;
        case 0x24: /* maximum QoS */
            if (body[at + 1] < 1)
                die("broker", "takes QoS 0 only");
            at += 2;
            break;
        default: /* user property (0x26) has two texts; retain, wildcard... have one byte */
            if (body[at] == 0x26) {
                at += 3 + ((size_t)body[at + 1] << 8 | body[at + 2]);
                at += 2 + ((size_t)body[at] << 8 | body[at + 1]);
            } else
                at += 2;
        }
    }
}

static void on_puback(struct publisher *p, const uint8_t *body, size_t size)
{
    unsigned id = size < 2 ? 0 : (unsigned)body[0] << 8 | body[1], code = size > 2 ? body[2] : 0;
    if (!p->outstanding[id])
        lost(p, "a PUBACK for nothing that was published");
    p->outstanding[id] = 0;
    p->in_flight--;
    if (code >= 0x80 || (code == 0x10 && p->nobody_is_refused)) {
        if (p->refused++ == 0)
            fprintf(stderr, "publish: message %ld: %s\n", p->acked + p->refused, reason(code));
    } else
        p->acked++;
}

static void on_packets(struct publisher *p, bool *connected)
{
    struct bytes *a = &p->answers;
    for (;;) {
        size_t length, n = pending(a) < 2 ? 0 : get_length(a->data + a->head + 1, pending(a) - 1, &length);
        if (n == 0 || pending(a) < 1 + n + length)
            return;
        const uint8_t *body = a->data + a->head + 1 + n;
        switch (a->data[a->head] >> 4) {
        case 2:
            on_connack(p, body, length);
            *connected = true;
            break;
        case 4:
            on_puback(p, body, length);
            break;
        case 13: /* PINGRESP */
            break;
        case 14:
            lost(p, reason(length ? body[0] : 0));
        default:
            lost(p, "a packet that doesn't belong here");
        }
        a->head += 1 + n + length;
    }
}

static void read_frames(struct publisher *p)
{
    ssize_t n = read(p->in, reserve(&p->frames, 1 << 16), 1 << 16);
    if (n < 0 && errno != EINTR && errno != EAGAIN)
        die(p->in_name, strerror(errno));
    if (n > 0)
        p->frames.tail += (size_t)n;
    if (n == 0) {
        if (--p->loops_left > 0 && lseek(p->in, 0, SEEK_SET) == 0)
            return;
        p->in_ended = true;
    }
}

static void write_out(struct publisher *p)
{
    ssize_t n = send(p->net, p->out.data + p->out.head, pending(&p->out), MSG_NOSIGNAL);
    if (n < 0 && errno != EINTR && errno != EAGAIN)
        lost(p, strerror(errno));
    if (n > 0)
        p->out.head += (size_t)n;
    p->last_write = now();
}

static void read_answers(struct publisher *p, bool *connected)
{
    ssize_t n = recv(p->net, reserve(&p->answers, 1 << 16), 1 << 16, 0);
    if (n == 0)
        lost(p, *connected ? "closed by the broker" : "closed by the broker in place of a CONNACK");
    if (n < 0 && errno != EINTR && errno != EAGAIN)
        lost(p, strerror(errno));
    if (n > 0)
        p->answers.tail += (size_t)n;
    on_packets(p, connected);
}

static void publish_all(struct publisher *p)
{
    bool connected = false;
    for (;;) {
        enum obstacle why = NO_FRAME;
        if (connected) {
            do
                why = publish_next(p);
            while (why == NONE && pending(&p->out) < OUTPUT_ENOUGH);
            if (why == NO_FRAME && p->in_ended && p->in_flight == 0 && pending(&p->out) == 0)
                break;
        }
        bool want_frames = connected && why == NO_FRAME && !p->in_ended;
        if (want_frames && !p->in_is_pipe) {
            read_frames(p);
            if (pending(&p->out) < OUTPUT_ENOUGH)
                continue;
            want_frames = false;
        }
        struct pollfd fds[2] = {
            {.fd = p->net, .events = (short)(POLLIN | (pending(&p->out) ? POLLOUT : 0))},
            {.fd = want_frames ? p->in : -1, .events = POLLIN},
        };
        if (poll(fds, 2, why == NOT_YET ? 1 : 1000) < 0 && errno != EINTR)
            die("poll", strerror(errno));
        if (fds[1].revents)
            read_frames(p);
        if (fds[0].revents & POLLOUT)
            write_out(p);
        if (fds[0].revents & (POLLIN | POLLERR | POLLHUP)) {
            bool was = connected;
            read_answers(p, &connected);
            if (connected && !was)
                p->begin = now();
        }
        if (connected && pending(&p->out) == 0 && now() - p->last_write > KEEP_ALIVE_S / 2)
            put(&p->out, "\xc0", 2);
    }
    if (pending(&p->frames))
        die(p->in_name, "ends within a frame");
    put(&p->out, "\xe0", 2); /* DISCONNECT */
    fcntl(p->net, F_SETFL, fcntl(p->net, F_GETFL) & ~O_NONBLOCK);
    write_out(p);
    shutdown(p->net, SHUT_WR);
    while (read(p->net, p->answers.data, 1) > 0) /* until the broker has read it all, QoS 0 too */
        ;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: publish HOST:PORT FILE [options]; the head of publish.c explains them\n");
        return 64;
    }
    static struct publisher p = {.in_flight_max = 1000, .loops_left = 1};
    char client_id[64];
    snprintf(client_id, sizeof client_id, "publish-%ld", (long)getpid());
    const char *id = client_id, *user = NULL, *password = NULL;
    for (int i = 3; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (!strcmp(argv[i], "--client-id"))
            id = value;
        else if (!strcmp(argv[i], "--user"))
            user = value;
        else if (!strcmp(argv[i], "--password"))
            password = value;
        else if (!strcmp(argv[i], "--inflight"))
            p.in_flight_max = (unsigned)atoi(value);
        else if (!strcmp(argv[i], "--rate"))
            p.rate = atof(value);
        else if (!strcmp(argv[i], "--loop"))
            p.loops_left = atol(value);
        else if (!strcmp(argv[i], "--to-nobody"))
            p.nobody_is_refused = !strcmp(value, "refuse");
        else
            die("unknown option", argv[i]);
    }
    if (p.in_flight_max < 1 || p.in_flight_max > 65535)
        die("--inflight", "is 1 to 65535");
    p.in_name = strcmp(argv[2], "-") ? argv[2] : "stdin";
    p.in = strcmp(argv[2], "-") ? open(argv[2], O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    if (p.in < 0)
        die(argv[2], strerror(errno));
    p.in_is_pipe = lseek(p.in, 0, SEEK_CUR) < 0;
    p.net = dial(argv[1]);
    put_connect(&p, id, user, password);
    publish_all(&p);
    printf("%ld %ld\n", p.acked, p.sent_unacknowledged);
    if (p.refused)
        fprintf(stderr, "publish: %ld messages were refused\n", p.refused);
    close(p.net);
    free(p.frames.data);
    free(p.out.data);
    free(p.answers.data);
    return p.refused > 0;
}
