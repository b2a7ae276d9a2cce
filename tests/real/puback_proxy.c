/*
 * puback_proxy - a TCP proxy in front of an MQTT broker that writes down which messages were acknowledged.
 *
 *   puback_proxy LISTEN-PORT BROKER-PORT LOG [--mark CONTROL] [--early]
 *
 * It understands MQTT 3.1.1 and 5. Packets are passed on whole, and only once what they mean is in LOG (one
 * write before each forwarding write; connections are numbered from 1): C conn level             a client's
 * CONNECT, with its protocol level (4 or 5) P conn id dup payload    a PUBLISH with QoS > 0 on its way to the
 * client A conn id payload        the client's PUBACK, with the payload of the PUBLISH that it answers U conn
 * id                a PUBACK that answers nothing D conn                   the client's end is closed, and
 * all that it had sent is in the log E text                   the proxy itself failed Payloads are logged up
 * to 200 bytes, control characters as '?'.
 *
 * --mark CONTROL: before PUBACKs are passed on, the line "mark puback N" (N: PUBACKs logged so far) is
 * written to that file, crashfs's control: a crash state can then be held against what the broker had been
 * told by then. A file that isn't there is passed over (no file system is mounted: nothing can be marked).
 * --early: each PUBLISH is acknowledged by the proxy itself before the client gets it, and the client's own
 * PUBACKs go nowhere: what a client would do that acknowledges too early.
 *
 * SIGTERM ends it. One thread; far above 10,000 messages a second.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAIRS_MAX   64
#define READ_SIZE   (256 * 1024)
#define OUT_MAX     (4 * 1024 * 1024) /* so much unsent: nothing more is read for it */
#define PAYLOAD_MAX 200
#define IDS         65536

enum { CONNECT = 1, PUBLISH = 3, PUBACK = 4 };

struct bytes {
    uint8_t *data;
    size_t len, capacity;
};

/* One end of a connection: what was read from it and isn't a whole packet yet, what is still to be sent to
 * it. */
struct end {
    int fd; /* -1: closed */
    bool is_connecting;
    struct bytes in, out;
};

struct pair {
    struct end client, broker;
    unsigned long number; /* 0: free */
    bool is_ended;        /* nothing more is sent to the broker */
    int level;
    char **waiting; /* by packet id: the payload that wants a PUBACK */
};

static struct pair pairs[PAIRS_MAX];
static struct bytes lines;
static int log_fd, listen_fd;
static unsigned long connections, acknowledged, marked;
static const char *control;
static bool is_early;
static uint16_t broker_port;

static void append(struct bytes *b, const void *data, size_t size)
{
    if (b->len + size > b->capacity) {
        b->capacity = (b->len + size) * 2;
        b->data = realloc(b->data, b->capacity);
        if (!b->data)
            abort();
    }
    memcpy(b->data + b->len, data, size);
    b->len += size;
}

static void consume(struct bytes *b, size_t size)
{
    b->len -= size;
    memmove(b->data, b->data + size, b->len);
}

__attribute__((format(printf, 1, 2))) static void log_line(const char *format, ...)
{
    char line[PAYLOAD_MAX + 100];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    line[n] = '\n';
    append(&lines, line, (size_t)n + 1);
}

static void flush_log(void)
{
    for (size_t done = 0; done < lines.len;) {
        ssize_t n = write(log_fd, lines.data + done, lines.len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            perror("puback_proxy: log");
            exit(1);
        }
        done += (size_t)n;
    }
    lines.len = 0;
    if (!control || marked == acknowledged)
        return;
    char mark[64];
    int size = snprintf(mark, sizeof mark, "mark puback %lu\n", acknowledged);
    int fd = open(control, O_WRONLY);
    if (fd < 0 && errno == ENOENT)
        return;
    if (fd < 0 || write(fd, mark, (size_t)size) != size) {
        fprintf(stderr, "puback_proxy: cannot mark in %s: %s\n", control, strerror(errno));
        log_line("E cannot mark in %s", control);
    }
    if (fd >= 0)
        close(fd);
    marked = acknowledged;
}

/* --- packets --- */

static char *printable(const uint8_t *p, size_t size)
{
    char *text = malloc(PAYLOAD_MAX + 1);
    if (!text)
        abort();
    size_t n = size < PAYLOAD_MAX ? size : PAYLOAD_MAX;
    for (size_t i = 0; i < n; i++)
        text[i] = p[i] < 0x20 ? '?' : (char)p[i];
    text[n] = '\0';
    return text;
}

/* A variable byte integer at p -> bytes it takes; 0: not all of it is there. */
static size_t variable(const uint8_t *p, size_t size, uint32_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < size && i < 4; i++) {
        *ret |= (uint32_t)(p[i] & 127) << (7 * i);
        if (!(p[i] & 128))
            return i + 1;
    }
    return 0;
}

/* Size of the packet at the head of b and where its body begins; 0 if it isn't whole yet. */
static size_t packet(const struct bytes *b, size_t at, size_t *ret_body)
{
    uint32_t remaining;
    if (b->len - at < 2)
        return 0;
    size_t n = variable(b->data + at + 1, b->len - at - 1, &remaining);
    if (!n || b->len - at < 1 + n + remaining)
        return 0;
    *ret_body = at + 1 + n;
    return 1 + n + remaining;
}

static void acknowledge(struct pair *p, uint16_t id)
{
    if (!p->waiting[id]) {
        log_line("U %lu %u", p->number, id);
        return;
    }
    log_line("A %lu %u %s", p->number, id, p->waiting[id]);
    acknowledged++;
    free(p->waiting[id]);
    p->waiting[id] = NULL;
}

static void on_publish(struct pair *p, uint8_t head, const uint8_t *body, size_t size)
{
    if (!(head >> 1 & 3) || size < 4)
        return;
    size_t at = 2 + (size_t)(body[0] << 8 | body[1]);
    uint16_t id = (uint16_t)(body[at] << 8 | body[at + 1]);
    uint32_t properties;
    at += 2;
    if (p->level == 5) {
        size_t n = variable(body + at, size - at, &properties);
        at += n + properties;
    }
    if (p->waiting[id]) /* mosquitto 2.0.11 does that when more than 65,535 messages of a session are
                           unacknowledged */
        log_line("E the broker uses packet id %u again, whose message is unacknowledged", id);
    free(p->waiting[id]);
    p->waiting[id] = printable(body + at, size - at);
    log_line("P %lu %u %d %s", p->number, id, head >> 3 & 1, p->waiting[id]);
    if (is_early) {
        uint8_t puback[4] = {PUBACK << 4, 2, (uint8_t)(id >> 8), (uint8_t)id};
        acknowledge(p, id);
        append(&p->broker.out, puback, sizeof puback);
    }
}

/* Moves whole packets from one end to the other; what they say goes into the log first. */
static void pass_on(struct pair *p, struct end *from, struct end *to)
{
    size_t at = 0, body = 0, size;
    while ((size = packet(&from->in, at, &body)) != 0) {
        const uint8_t *data = from->in.data;
        uint8_t head = data[at];
        bool is_from_client = from == &p->client, is_swallowed = false;
        if (is_from_client && head >> 4 == CONNECT && size > 9) {
            size_t name = (size_t)(data[body] << 8 | data[body + 1]);
            p->level = data[body + 2 + name];
            log_line("C %lu %d", p->number, p->level);
        } else if (is_from_client && head >> 4 == PUBACK) {
            is_swallowed = is_early;
            if (!is_early)
                acknowledge(p, (uint16_t)(data[body] << 8 | data[body + 1]));
        } else if (!is_from_client && head >> 4 == PUBLISH) {
            on_publish(p, head, data + body, at + size - body);
        }
        if (!is_swallowed)
            append(&to->out, data + at, size);
        at += size;
    }
    if (at)
        consume(&from->in, at);
}

/* --- connections --- */

static void release(struct pair *p)
{
    struct end *ends[] = {&p->client, &p->broker};
    log_line("D %lu", p->number);
    for (int i = 0; i < 2; i++) {
        if (ends[i]->fd >= 0)
            close(ends[i]->fd);
        free(ends[i]->in.data);
        free(ends[i]->out.data);
    }
    for (size_t i = 0; i < IDS; i++)
        free(p->waiting[i]);
    free(p->waiting);
    memset(p, 0, sizeof *p);
}

static void accept_client(void)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
    struct pair *p = pairs;
    if (fd < 0)
        return;
    while (p < pairs + PAIRS_MAX && p->number)
        p++;
    int broker = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p == pairs + PAIRS_MAX || broker < 0) {
        log_line("E no room for a connection");
        close(fd);
        return;
    }
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(broker_port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(broker, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    p->number = ++connections;
    p->client.fd = fd;
    p->broker.fd = broker;
    p->waiting = calloc(IDS, sizeof *p->waiting);
    if (!p->waiting)
        abort();
    p->broker.is_connecting = connect(broker, (struct sockaddr *)&to, sizeof to) < 0;
}

/* Returns false when that end is closed. */
static bool receive(struct end *e)
{
    static uint8_t chunk[READ_SIZE];
    ssize_t n = read(e->fd, chunk, sizeof chunk);
    if (n > 0)
        append(&e->in, chunk, (size_t)n);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static bool send_out(struct end *e)
{
    if (!e->out.len || e->is_connecting)
        return true;
    ssize_t n = send(e->fd, e->out.data, e->out.len, MSG_NOSIGNAL);
    if (n > 0)
        consume(&e->out, (size_t)n);
    return n > 0 || errno == EAGAIN || errno == EINTR;
}

/* The client is gone. Its last PUBACKs go to the broker, which is heard out (with unread bytes in this
 * socket, closing it would reset the connection, and the broker would lose what it hasn't read yet). */
static void hang_up(struct pair *p, const struct pollfd *broker)
{
    bool is_open = true;
    if (broker->revents & (POLLOUT | POLLERR | POLLHUP))
        p->broker.is_connecting = false;
    if (broker->revents & (POLLIN | POLLERR | POLLHUP))
        is_open = receive(&p->broker);
    p->broker.in.len = 0;
    is_open = send_out(&p->broker) && is_open;
    if (!p->broker.out.len && !p->broker.is_connecting && !p->is_ended) {
        (void)shutdown(p->broker.fd, SHUT_WR);
        p->is_ended = true;
    }
    if (!is_open)
        release(p);
}

/* One round for a pair, after poll. What the client has sent is taken to its end even if the broker's side
 * fails. */
static void serve(struct pair *p, const struct pollfd *client, const struct pollfd *broker)
{
    bool is_client_open = true, is_broker_open = true;
    if (p->client.fd < 0) {
        hang_up(p, broker);
        return;
    }
    if (broker->revents & (POLLOUT | POLLERR | POLLHUP))
        p->broker.is_connecting = false;
    if (broker->revents & (POLLIN | POLLERR | POLLHUP))
        is_broker_open = receive(&p->broker);
    pass_on(p, &p->broker, &p->client);
    if (client->revents & (POLLIN | POLLERR | POLLHUP))
        is_client_open = receive(&p->client);
    pass_on(p, &p->client, &p->broker);
    flush_log();
    is_broker_open = send_out(&p->broker) && is_broker_open;
    is_client_open = send_out(&p->client) && is_client_open;
    if (is_client_open && is_broker_open)
        return;
    do
        errno = 0;
    while (receive(&p->client) && errno == 0);
    pass_on(p, &p->client, &p->broker);
    flush_log();
    if (is_broker_open && send_out(&p->broker)) {
        close(p->client.fd);
        p->client.fd = -1;
        p->client.out.len = 0;
    } else {
        release(p);
    }
}

static short wanted(const struct end *from, const struct end *to)
{
    return (short)((to->out.len < OUT_MAX ? POLLIN : 0) |
                   (from->out.len || from->is_connecting ? POLLOUT : 0));
}

static void run(void)
{
    for (;;) {
        struct pollfd fds[2 * PAIRS_MAX + 1];
        struct pair *of[PAIRS_MAX];
        int n = 0;
        for (struct pair *p = pairs; p < pairs + PAIRS_MAX; p++) {
            if (!p->number)
                continue;
            of[n] = p;
            fds[2 * n] = (struct pollfd){.fd = p->client.fd, .events = wanted(&p->client, &p->broker)};
            fds[2 * n + 1] = (struct pollfd){.fd = p->broker.fd, .events = wanted(&p->broker, &p->client)};
            if (p->client.fd < 0 && !p->is_ended)
                fds[2 * n + 1].events |= POLLOUT;
            n++;
        }
        fds[2 * n] = (struct pollfd){.fd = listen_fd, .events = POLLIN};
        if (poll(fds, (nfds_t)(2 * n + 1), -1) < 0)
            continue;
        for (int i = 0; i < n; i++) {
            if (fds[2 * i].revents || fds[2 * i + 1].revents)
                serve(of[i], &fds[2 * i], &fds[2 * i + 1]);
        }
        if (fds[2 * n].revents)
            accept_client();
        flush_log();
    }
}

int main(int argc, char **argv)
{
    int one = 1;
    for (int i = 4; i < argc; i++) {
        if (strcmp(argv[i], "--early") == 0)
            is_early = true;
        else if (strcmp(argv[i], "--mark") == 0 && i + 1 < argc)
            control = argv[++i];
        else
            argc = 0;
    }
    if (argc < 4) {
        fprintf(stderr, "usage: puback_proxy LISTEN-PORT BROKER-PORT LOG [--mark CONTROL] [--early]\n");
        return 64;
    }
    broker_port = (uint16_t)atoi(argv[2]);
    log_fd = open(argv[3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(argv[1])),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    (void)setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (log_fd < 0 || listen_fd < 0 || bind(listen_fd, (struct sockaddr *)&at, sizeof at) < 0 ||
        listen(listen_fd, 16) < 0) {
        perror("puback_proxy");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    run();
}
