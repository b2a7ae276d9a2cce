/* The program as a whole, without a broker: exit codes, order of start and stop, one process a store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/alloc.h"
#include "src/base/buffer.h"
#include "src/base/clock.h"
#include "storage/fs/fs.h"
#include "storage/storage.h"
#include "tests/doubles/temp_dir.h"

extern char **environ;

struct fixture {
    char *dir, *store, *config, *out, *err;
    int port;
};

static int free_port(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
    (void)close(fd);
    return ntohs(in.sin_port);
}

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    f->dir = TEMP_DIR();
    f->store = xasprintf("%s/store", f->dir);
    f->config = xasprintf("%s/varve.yaml", f->dir);
    f->out = xasprintf("%s/out", f->dir);
    f->err = xasprintf("%s/err", f->dir);
    f->port = free_port();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    temp_dir_remove(f->dir);
    free(f->store);
    free(f->config);
    free(f->out);
    free(f->err);
    free(f);
    return 0;
}

static void write_config(struct fixture *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void write_config(struct fixture *f, const char *format, ...)
{
    va_list args;
    FILE *file = fopen(f->config, "we");
    assert_non_null(file);
    va_start(args, format);
    vfprintf(file, format, args);
    va_end(args);
    assert_int_equal(fclose(file), 0);
}

/* A sink whose broker never answers. */
static void write_good_config(struct fixture *f)
{
    write_config(
        f,
        "storage: {path: %s, flush_interval: 1s, min_free_disk: 0}\n"
        "http: {listen: \"127.0.0.1:%d\"}\n"
        "sinks:\n"
        "  - {name: plant, type: kafka, brokers: [\"127.0.0.1:9\"], topics: [t], group: g, format: influx}\n",
        f->store, f->port);
}

/* Arguments end with NULL; output goes to f->out and f->err. */
static pid_t launch(struct fixture *f, const char *const *arguments)
{
    char *argv[16] = {(char[]){"varve"}};
    for (size_t i = 0; arguments[i]; i++)
        argv[1 + i] = (char *)arguments[i];
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, f->out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, f->err, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    pid_t pid;
    assert_int_equal(posix_spawn(&pid, VARVE_BINARY, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

/* Exit code, or minus the signal. */
static int wait_for(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int run(struct fixture *f, const char *const *arguments)
{
    return wait_for(launch(f, arguments));
}

static bool file_has(const char *path, const char *text)
{
    struct buffer b = {0};
    assert_int_equal(fs_read_file(path, 1 << 20, &b, NULL), 0);
    bool found = strstr(buffer_cstr(&b), text) != NULL;
    buffer_release(&b);
    return found;
}

static void expect_run(struct fixture *f, const char *const *arguments, int code, const char *path,
                       const char *text)
{
    int got = run(f, arguments);
    if (got != code || !file_has(path, text)) {
        struct buffer b = {0};
        (void)fs_read_file(f->err, 1 << 20, &b, NULL);
        fail_msg("%s: exit %d, not %d, or without \"%s\": %s", arguments[0] ? arguments[0] : "(none)", got,
                 code, text, buffer_cstr(&b));
    }
}

/* Status code of GET path, 0 if nobody answers. */
static int get(const struct fixture *f, const char *path)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)f->port)};
    char text[512];
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status = 0;
    int len =
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    if (connect(fd, (struct sockaddr *)&in, sizeof in) == 0 &&
        send(fd, text, (size_t)len, MSG_NOSIGNAL) == len) {
        ssize_t n = recv(fd, text, sizeof text - 1, 0);
        if (n > 12)
            status = (int)strtol(text + 9, NULL, 10);
    }
    (void)close(fd);
    return status;
}

static pid_t serve(struct fixture *f)
{
    pid_t pid = launch(f, ARGUMENTS("serve", "-c", f->config));
    for (int i = 0; get(f, "/ready") != 200; i++) {
        if (i > 3000 || waitpid(pid, NULL, WNOHANG) != 0)
            fail_msg("varve serve isn't ready");
        clock_sleep_ms(10);
    }
    return pid;
}

/* --- tests --- */

static void test_usage(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"serve",  "check",   "inspect", "export",  "merge",
                                        "verify", "recover", "offsets", "rejects", "version"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        expect_run(f, ARGUMENTS(names[i], "-h"), 0, f->out, "Usage: varve ");
        expect_run(f, ARGUMENTS(names[i], "--nonsense"), 64, f->err, "-h`");
        expect_run(f, ARGUMENTS(names[i], "a", "b", "c"), 64, f->err, names[i]);
    }
    expect_run(f, ARGUMENTS(), 64, f->err, "Usage: varve COMMAND");
    expect_run(f, ARGUMENTS("--help"), 0, f->out, "Usage: varve COMMAND");
    expect_run(f, ARGUMENTS("nonsense"), 64, f->err, "unknown command nonsense; there are: serve check");
    expect_run(f, ARGUMENTS("--version"), 0, f->out, "librdkafka ");
    expect_run(f, ARGUMENTS("version"), 0, f->out, "formats: influx");
    expect_run(f, ARGUMENTS("export", f->store, "--start", "yesterday"), 64, f->err, "cannot parse the time");
    expect_run(f, ARGUMENTS("inspect"), 64, f->err, "DIR");
}

static void test_no_store(void **state)
{
    struct fixture *f = *state;
    expect_run(f, ARGUMENTS("inspect", f->store), 2, f->err, f->store);
    expect_run(f, ARGUMENTS("export", f->store), 2, f->err, f->store);
    expect_run(f, ARGUMENTS("verify", f->store), 2, f->err, f->store);
    expect_run(f, ARGUMENTS("recover", f->store), 2, f->err, f->store);
}

static void test_bad_configuration(void **state)
{
    struct fixture *f = *state;
    expect_run(f, ARGUMENTS("serve", "-c", f->config), 1, f->err, f->config);
    write_config(f, "storage:\n  path: %s\n  nonsense: 1\n", f->store);
    expect_run(f, ARGUMENTS("serve", "-c", f->config), 1, f->err, "varve.yaml:3:3: ");
    assert_false(fs_exists(f->store));
    write_config(
        f,
        "storage: {path: %s}\nhttp: {listen: []}\nsinks:\n  - {name: p, type: kafka, brokers: "
        "[\"127.0.0.1:9\"], "
        "topics: [t], group: g, format: influx, librdkafka: {security.protocol: ssl, ssl.ca.location: "
        "/nonexistent/ca.pem}}\n",
        f->store);
    expect_run(f, ARGUMENTS("serve", "-c", f->config), 1, f->err, "ca.pem");
    /* What was opened before that was noticed is closed again. */
    if (fs_exists(f->store))
        expect_run(f, ARGUMENTS("inspect", f->store), 0, f->out, "stopped cleanly");
}

/* A spool that can't be opened is no mistake in the configuration: the unit tries such a start again. */
static void test_bad_spool(void **state)
{
    struct fixture *f = *state;
    char spool[256], segment[320];
    snprintf(spool, sizeof spool, "%s/spool", f->dir);
    snprintf(segment, sizeof segment, "%s/0000000000000001.spool", spool);
    assert_int_equal(mkdir(spool, 0700), 0);
    FILE *file = fopen(segment, "we");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    write_config(
        f,
        "storage: {path: %s, min_free_disk: 0}\nhttp: {listen: []}\nsinks:\n  - {name: edge, type: mqtt, "
        "broker: \"mqtt://127.0.0.1:9\", client_id: c, spool: {path: %s}, subscriptions: "
        "[{filter: a, format: value}]}\n",
        f->store, spool);
    expect_run(f, ARGUMENTS("serve", "-c", f->config), 2, f->err, "no spool-id");
    assert_true(file_has(f->err, "sink edge: "));
    assert_false(file_has(f->err, "sink edge: sink edge: "));
}

static void test_life(void **state)
{
    struct fixture *f = *state;
    write_good_config(f);
    pid_t pid = serve(f);
    assert_int_equal(get(f, "/health"), 200);
    assert_int_equal(get(f, "/metrics"), 200);
    assert_int_equal(get(f, "/internal/force_flush"), 200);
    assert_int_equal(get(f, "/api/v1/series?match[]=x"), 200);
    assert_int_equal(kill(pid, SIGHUP), 0); /* is said and ignored */
    clock_sleep_ms(300);
    assert_int_equal(get(f, "/ready"), 200);
    assert_true(file_has(f->err, "SIGHUP: ignored"));
    assert_true(file_has(f->err, "is ready"));

    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", f->port);
    expect_run(f, ARGUMENTS("merge", url), 0, f->out, "0 months merged");
    expect_run(f, ARGUMENTS("merge", url, "2026_10"), 2, f->err, "no month begins with 2026_10");
    expect_run(f, ARGUMENTS("merge", f->store), 2, f->err, "another");

    int64_t before_ms = clock_monotonic_ms();
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(wait_for(pid), 0);
    assert_true(clock_monotonic_ms() - before_ms < 10000);
    expect_run(f, ARGUMENTS("merge", url), 2, f->err, "can't connect");
    assert_int_equal(get(f, "/health"), 0);

    expect_run(f, ARGUMENTS("inspect", f->store), 0, f->out, "stopped cleanly");
    expect_run(f, ARGUMENTS("inspect", f->store, "--json"), 0, f->out, "\"clean\":true");
    expect_run(f, ARGUMENTS("inspect", f->store, "--json"), 0, f->out, ",\"kinds\":{\"small\":{\"parts\":");
    expect_run(f, ARGUMENTS("inspect", f->store, "0123456789ABCDEF"), 2, f->err, "no part 0123456789ABCDEF");
    expect_run(f, ARGUMENTS("verify", f->store), 0, f->out, "0 damaged");
    expect_run(f, ARGUMENTS("export", f->store, "{a=\"b\"}", "--start", "0", "--end", "now"), 0, f->out, "");
    expect_run(f, ARGUMENTS("export", f->store, "{a="), 2, f->err, "selector");
    expect_run(f, ARGUMENTS("recover", f->store), 0, f->err, "");
    expect_run(f, ARGUMENTS("merge", f->store), 0, f->out, "0 months merged");
    expect_run(f, ARGUMENTS("merge", f->store, "2026_10"), 2, f->err, "no month begins with 2026_10");
    expect_run(f, ARGUMENTS("merge", f->store, "october"), 64, f->err, "YYYY_MM");
    expect_run(f, ARGUMENTS("merge", "/nonexistent/store"), 2, f->err, "no store");
    expect_run(f, ARGUMENTS("merge", "https://127.0.0.1"), 2, f->err, "http://");
}

/* With a sink of each kind, both without a broker: under ASan this is the test of what is freed when. */
static void test_interrupt(void **state)
{
    struct fixture *f = *state;
    write_config(
        f,
        "storage: {path: %s, flush_interval: 1s, min_free_disk: 0}\n"
        "http: {listen: \"127.0.0.1:%d\"}\n"
        "sinks:\n"
        "  - {name: plant, type: kafka, brokers: [\"127.0.0.1:9\"], topics: [t], group: g, format: influx}\n"
        "  - {name: edge, type: mqtt, broker: \"mqtt://127.0.0.1:9\", client_id: c, subscriptions: [{filter: "
        "a, "
        "format: value}]}\n",
        f->store, f->port);
    pid_t pid = serve(f);
    assert_int_equal(kill(pid, SIGINT), 0);
    assert_int_equal(wait_for(pid), 0);
}

static void test_one_process_a_store(void **state)
{
    struct fixture *f = *state;
    write_good_config(f);
    pid_t pid = serve(f);
    char *log = f->err;
    f->err = xasprintf("%s/err2", f->dir);
    expect_run(f, ARGUMENTS("serve", "-c", f->config), 2, f->err, f->store);
    expect_run(f, ARGUMENTS("inspect", f->store), 2, f->err, f->store);
    expect_run(f, ARGUMENTS("recover", f->store), 2, f->err, f->store);
    /* Another store, the same address: what is wrong is the configuration. */
    char *other = xasprintf("%s/other", f->dir);
    write_config(f, "storage: {path: %s}\nhttp: {listen: \"127.0.0.1:%d\"}\nsinks: []\n", other, f->port);
    expect_run(f, ARGUMENTS("serve", "-c", f->config), 1, f->err, "cannot listen on 127.0.0.1 port");
    expect_run(f, ARGUMENTS("inspect", other), 0, f->out, "stopped cleanly");
    free(other);
    free(f->err);
    f->err = log;
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(wait_for(pid), 0);
}

static void test_killed(void **state)
{
    struct fixture *f = *state;
    write_good_config(f);
    pid_t pid = serve(f);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(wait_for(pid), -SIGKILL);
    expect_run(f, ARGUMENTS("inspect", f->store), 0, f->out, "not stopped cleanly");
    expect_run(f, ARGUMENTS("recover", f->store), 0, f->err, "");
    expect_run(f, ARGUMENTS("inspect", f->store), 0, f->out, ", stopped cleanly");
    pid = serve(f);
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(wait_for(pid), 0);
}

/* A stopped store that has read a partition up to 100. */
static void make_store_with_position(struct fixture *f)
{
    static const char key[] = "plant/kafka/X/m/0";
    struct storage_options options = {
        .path = f->store, .retention_ms = 365 * DAY_MS, .flush_interval_ms = 1000};
    struct storage *st;
    struct storage_position p = {.next = 100};
    assert_int_equal(storage_open(&st, &options, NULL), 0);
    storage_set_position(st, key, sizeof key - 1, &p);
    assert_int_equal(storage_close(st, NULL), 0);
}

static void test_offsets(void **state)
{
    struct fixture *f = *state;
    const char *s = f->store;
    expect_run(f, ARGUMENTS("offsets", "show", s), 2, f->err, s);
    expect_run(f, ARGUMENTS("offsets", "reset", s, "--all", "--forget", "--execute"), 2, f->err, "no store");
    assert_false(fs_exists(s));
    make_store_with_position(f);
    expect_run(f, ARGUMENTS("offsets", "show", s), 0, f->out,
               "plant: kafka topic m partition 0 at offset 100 (cluster X)\n");
    expect_run(f, ARGUMENTS("offsets", "show", s, "--json"), 0, f->out, "\"partition\":0,\"next\":100,");

    expect_run(f, ARGUMENTS("offsets", "reset", s, "--to", "earliest"), 64, f->err, "say which");
    expect_run(f, ARGUMENTS("offsets", "reset", s, "--all"), 64, f->err, "say where");
    expect_run(f, ARGUMENTS("offsets", "reset", s, "--all", "--sink", "a", "--forget"), 64, f->err,
               "say which");
    expect_run(f, ARGUMENTS("offsets", "reset", s, "--all", "--forget", "--to", "3"), 64, f->err, "one of");
    expect_run(f, ARGUMENTS("offsets", "reset", s, "--all", "--to", "yesterday"), 64, f->err, "--to takes");
    expect_run(f, ARGUMENTS("offsets", "reset", s, "--partition", "0", "--forget"), 64, f->err, "--topic");
    expect_run(f, ARGUMENTS("offsets", "reset", s, "--topic", "m", "--partition", "0,x", "--forget"), 64,
               f->err, "0,1,2");
    expect_run(f, ARGUMENTS("offsets", "reset", s, "--all", "--rename", "werk"), 64, f->err, "--sink");
    expect_run(f, ARGUMENTS("offsets", "reset", s, "--sink", "plant", "--rename", "Werk"), 64, f->err, "a-z");
    expect_run(f, ARGUMENTS("offsets", "show", s, "--all"), 64, f->err, "--json only");
    expect_run(f, ARGUMENTS("offsets", "reset", s, "--sink", "p", "--to", "3", "--execute"), 2, f->err,
               "no position fits");

    expect_run(f, ARGUMENTS("offsets", "reset", s, "--sink", "plant", "--to", "40"), 0, f->out,
               "1 position(s) would change");
    expect_run(f, ARGUMENTS("offsets", "show", s), 0, f->out, "at offset 100 ");
    expect_run(
        f, ARGUMENTS("offsets", "reset", s, "--topic", "m", "--partition", "1,0", "--to", "40", "--execute"),
        0, f->out, "at offset 100 (cluster X) -> offset 40\n1 position(s) changed");
    expect_run(f, ARGUMENTS("offsets", "show", s), 0, f->out, "at offset 40 ");
    expect_run(f, ARGUMENTS("offsets", "reset", s, "--all", "--to", "2026-11-01T00:00:00Z", "--execute"), 0,
               f->out, "-> its first record from 2026-11-01T00:00:00Z on");
    expect_run(f, ARGUMENTS("offsets", "reset", s, "--sink", "plant", "--rename", "werk", "--execute"), 0,
               f->out, "-> sink werk");
    expect_run(f, ARGUMENTS("offsets", "show", s), 0, f->out,
               "werk: kafka topic m partition 0 at its first record from");
    expect_run(f, ARGUMENTS("inspect", s), 0, f->out, "stopped cleanly");
    expect_run(f, ARGUMENTS("offsets", "reset", s, "--all", "--forget", "--execute"), 0, f->out,
               "-> forgotten");
    expect_run(f, ARGUMENTS("offsets", "show", s, "--json"), 0, f->out, "[]\n");
}

#define SPOOL "00112233445566778899aabbccddeeff"

static void test_offsets_of_a_spool_and_of_rejects(void **state)
{
    static const char *const keys[] = {("field/mqtt/" SPOOL), "field/rejects", "rejects/topic/varve-rejects"};
    struct fixture *f = *state;
    const char *s = f->store;
    struct storage_options options = {.path = s};
    struct storage *st;
    struct storage_position p = {.next = 100};
    assert_int_equal(storage_open(&st, &options, NULL), 0);
    for (size_t i = 0; i < 3; i++)
        storage_set_position(st, keys[i], (uint32_t)strlen(keys[i]), &p);
    assert_int_equal(storage_close(st, NULL), 0);
    expect_run(f, ARGUMENTS("offsets", "show", s), 0, f->out,
               "field: mqtt spool " SPOOL " at message 100\n"
               "field: rejects replayed up to byte 100\n"
               "rejects sent to kafka topic varve-rejects up to byte 100\n");
    expect_run(f, ARGUMENTS("inspect", s), 0, f->out, "sent to kafka topic varve-rejects up to byte 100");
    expect_run(f, ARGUMENTS("offsets", "reset", s, "--sink", "field", "--to", "earliest"), 2, f->err,
               "give a message's number");
    expect_run(f, ARGUMENTS("offsets", "reset", s, "--sink", "field", "--to", "40", "--execute"), 0, f->out,
               "at message 100 -> message 40\n1 position(s) changed");
    expect_run(
        f, ARGUMENTS("offsets", "reset", s, "--rejects", "--topic", "varve-rejects", "--forget", "--execute"),
        0, f->out, "up to byte 100 -> forgotten\n1 position(s) changed");
    expect_run(f, ARGUMENTS("offsets", "reset", s, "--spool", SPOOL, "--forget", "--execute"), 0, f->out,
               "at message 40 -> forgotten\n1 position(s) changed");
    expect_run(f, ARGUMENTS("offsets", "show", s), 0, f->out, "field: rejects replayed up to byte 100\n");
}

static void test_offsets_of_a_running_and_a_killed_store(void **state)
{
    struct fixture *f = *state;
    char *log = f->err;
    make_store_with_position(f);
    write_good_config(f);
    pid_t pid = serve(f);
    f->err = xasprintf("%s/err2", f->dir);
    expect_run(f, ARGUMENTS("offsets", "show", f->store), 2, f->err, "another server is running");
    expect_run(f, ARGUMENTS("offsets", "reset", f->store, "--all", "--forget", "--execute"), 2, f->err,
               "another server is running");
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(wait_for(pid), -SIGKILL);
    expect_run(f, ARGUMENTS("offsets", "show", f->store), 0, f->out, "at offset 100 ");
    expect_run(f, ARGUMENTS("offsets", "reset", f->store, "--all", "--to", "latest", "--execute"), 0, f->out,
               "-> its end");
    expect_run(f, ARGUMENTS("inspect", f->store), 0, f->out, ", stopped cleanly");
    free(f->err);
    f->err = log;
}

#define PROGRAM_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROGRAM_TEST(test_usage),
        PROGRAM_TEST(test_no_store),
        PROGRAM_TEST(test_bad_configuration),
        PROGRAM_TEST(test_bad_spool),
        PROGRAM_TEST(test_life),
        PROGRAM_TEST(test_interrupt),
        PROGRAM_TEST(test_one_process_a_store),
        PROGRAM_TEST(test_killed),
        PROGRAM_TEST(test_offsets),
        PROGRAM_TEST(test_offsets_of_a_spool_and_of_rejects),
        PROGRAM_TEST(test_offsets_of_a_running_and_a_killed_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
