/*
 * store_writer - writes messages into a store below a crashfs mount, and into crashfs's record what it knows.
 *
 *   store_writer STORE CONTROL COMMITS SEED KILL
 * CONTROL is crashfs's control file; marks there:
 *   opened          the store is open
 *   handed N        rows of messages [0, N) may be on disk from here on
 *   durable N       the store says that messages [0, N) are durable
 *   closed          stopped cleanly
 * Makes so many commits of 1 to 24 messages, from the store's position on. KILL > 0: crashfs kills it at its
 * KILL-th change of the disk or fsync. Also prints each durable position.
 * With STORE_VERDICTS=FILE in the environment its commits need a verdict (storage.h), which is yes, is kept
 * in that file, elsewhere than in the store, and is one more mark: agreed N        the commit up to N is
 * made, whatever becomes of this process
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/clock.h"
#include "tests/real/powercut_messages.h"

/* Exit code after an error that the store can't go on from, when fsyncs fail on purpose. */
#define FATAL_EXIT 3
/* As many as a commit may have, and some more. */
#define FSYNCS_OF_A_COMMIT 40

struct control {
    int fd;
    struct storage *st; /* NULL while it isn't open */
    int fails;          /* errno of fsyncs that fail; 0: none does */
    int verdicts_fd;    /* -1: none are needed */
};

static void tell(const struct control *c, const char *command, uint64_t n)
{
    char line[64];
    int len = snprintf(line, sizeof line, "%s %" PRIu64 "\n", command, n);
    if (write(c->fd, line, (size_t)len) != len) {
        perror("control file");
        exit(1);
    }
}

static uint64_t durable_position(struct storage *st)
{
    struct storage_position position;
    return storage_durable_position(st, MESSAGE_SOURCE, strlen(MESSAGE_SOURCE), &position) ? position.next
                                                                                           : 0;
}

static bool needs_verdict(void *context, const void *key, uint32_t key_len)
{
    (void)key;
    (void)key_len;
    return ((struct control *)context)->verdicts_fd >= 0;
}

static enum storage_verdict verdict(void *context, const struct storage_prepared *p)
{
    struct control *c = context;
    uint64_t next = p->positions->entries[0].position.next, agreed = 0;
    if (p->is_found) { /* the process that asked is gone */
        bool was_asked = pread(c->verdicts_fd, &agreed, sizeof agreed, 0) == sizeof agreed && agreed == next;
        return was_asked ? STORAGE_COMMIT : STORAGE_DISCARD;
    }
    if (pwrite(c->verdicts_fd, &next, sizeof next, 0) != sizeof next) {
        perror("STORE_VERDICTS");
        exit(1);
    }
    tell(c, "mark agreed", next);
    return STORAGE_COMMIT;
}

static void on_durable(void *context, uint64_t commit)
{
    (void)commit;
    struct control *c = context;
    if (!c->st)
        return;
    uint64_t n = durable_position(c->st);
    tell(c, "mark durable", n);
    printf("%" PRIu64 "\n", n);
    fflush(stdout);
}

static void on_trouble(void *context, const struct error *error)
{
    struct control *c = context;
    fprintf(stderr, "the store says: %s\n", error->message);
    _exit(c->fails ? FATAL_EXIT : 1); /* as the service does: nothing more is acknowledged */
}

/* One of the next fsyncs fails, every other time. */
static void arm(const struct control *c, unsigned short seed[3])
{
    char command[64];
    if (!c->fails || erand48(seed) < 0.5)
        return;
    snprintf(command, sizeof command, "fail fsync %d 1", c->fails);
    tell(c, command, (uint64_t)(erand48(seed) * FSYNCS_OF_A_COMMIT));
}

/* A full disk is waited out. */
static int flush(struct storage *st, struct error *reterr)
{
    int r;
    while ((r = storage_flush(st, -1, reterr)) == ERR_FULL)
        clock_sleep_ms(20);
    return r;
}

int main(int argc, char **argv)
{
    if (argc != 6 && argc != 7) {
        fprintf(stderr, "usage: store_writer STORE CONTROL COMMITS SEED KILL [ERRNO]\n");
        return 64;
    }
    struct control c = {.fd = open(argv[2], O_WRONLY | O_CLOEXEC)};
    if (c.fd < 0) {
        perror(argv[2]);
        return 1;
    }
    c.fails = argc > 6 ? (int)strtol(argv[6], NULL, 10) : 0;
    if (c.fails)
        tell(&c, "reset fault", 0);
    long commits = strtol(argv[3], NULL, 10);
    unsigned short seed[3] = {0, 0, (unsigned short)strtol(argv[4], NULL, 10)};
    long kill_at = strtol(argv[5], NULL, 10);
    if (kill_at > 0) {
        char command[32];
        snprintf(command, sizeof command, "kill %ld", (long)getpid());
        tell(&c, command, (uint64_t)kill_at);
    }

    const char *verdicts = getenv("STORE_VERDICTS");
    c.verdicts_fd = verdicts ? open(verdicts, O_RDWR | O_CREAT | O_CLOEXEC, 0640) : -1;
    struct storage_options options = message_store_options(argv[1]);
    options.hooks = (struct storage_hooks){.context = &c,
                                           .durable = on_durable,
                                           .needs_verdict = needs_verdict,
                                           .verdict = verdict,
                                           .fatal = on_trouble,
                                           .problem = on_trouble};
    struct error error = {0};
    struct storage *st;
    if (storage_open(&st, &options, &error) < 0) {
        fprintf(stderr, "storage_open: %s\n", error.message);
        return 1;
    }
    while (storage_undecided_ms(st) >= 0)
        clock_sleep_ms(2);
    c.st = st;
    uint64_t next = durable_position(st);
    tell(&c, "mark opened", next);
    struct storage_writer *w = storage_writer_new(st);
    for (long i = 0; i < commits; i++) {
        uint64_t to = next + 1 + (uint64_t)(erand48(seed) * 24);
        tell(&c, "mark handed", to);
        put_messages(w, next, to);
        next = to;
        arm(&c, seed);
        if (flush(st, &error) < 0) {
            fprintf(stderr, "storage_flush: %s\n", error.message);
            return 1;
        }
    }
    storage_writer_free(w);
    if (c.fails)
        tell(&c, "reset fault", 0);
    if (storage_close(st, &error) < 0) {
        fprintf(stderr, "storage_close: %s\n", error.message);
        return 1;
    }
    tell(&c, "mark closed", next);
    return 0;
}
