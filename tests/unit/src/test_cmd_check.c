/* `varve check` with a wiring of our own: exit codes, and what goes to stdout and stderr. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/cmd_check.h"
#include "src/commands.h"

#define SINK(name, group) \
    "- {name: " name ", type: kafka, brokers: [b:9092], topics: [t], group: " group ", format: influx}\n"

static char directory[] = "/tmp/varve-test-check-XXXXXX";

struct run {
    int code;
    char out[8192];
    char err[8192];
};

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

/* Sends a stream into a file, and back. */
static int redirect(FILE *stream, const char *name)
{
    fflush(stream);
    int saved = dup(fileno(stream));
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(saved >= 0 && fd >= 0 && dup2(fd, fileno(stream)) >= 0);
    close(fd);
    return saved;
}

static void restore(FILE *stream, int saved, const char *name, char *ret, size_t size)
{
    fflush(stream);
    assert_true(dup2(saved, fileno(stream)) >= 0);
    close(saved);
    FILE *f = fopen(path_of(name), "r");
    assert_non_null(f);
    ret[fread(ret, 1, size - 1, f)] = '\0';
    fclose(f);
    assert_int_equal(unlink(path_of(name)), 0);
}

static struct run run_check(const struct cmd_check_wiring *wiring, int argc, char **argv)
{
    struct run run = {0};
    int out = redirect(stdout, "out"), err = redirect(stderr, "err");
    run.code = cmd_check_run(argc, argv, wiring);
    restore(stdout, out, "out", run.out, sizeof run.out);
    restore(stderr, err, "err", run.err, sizeof run.err);
    return run;
}

/* `varve check -c FILE [more]` for a file with that text. */
static struct run run_on(const struct cmd_check_wiring *wiring, const char *yaml, const char *more)
{
    char path[128];
    snprintf(path, sizeof path, "%s", path_of("varve.yaml"));
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(yaml, f);
    assert_int_equal(fclose(f), 0);
    char check[] = "check", option[] = "-c", last[32] = "";
    snprintf(last, sizeof last, "%s", more ? more : "");
    char *argv[] = {check, option, path, more ? last : NULL, NULL};
    struct run run = run_check(wiring, more ? 4 : 3, argv);
    assert_int_equal(unlink(path), 0);
    return run;
}

static int connect_unless_b(const struct config_sink *sink, const char *node, int64_t timeout_ms,
                            struct buffer *found, struct error *reterr)
{
    assert_string_equal(node, "n");
    assert_true(timeout_ms > 0);
    if (!strcmp(sink->name, "b"))
        return error_set(reterr, ERR_IO, "b:9092 doesn't answer");
    buffer_append_str(found, "1 broker");
    return 0;
}

static const struct cmd_check_wiring without_connect = {0};
static const struct cmd_check_wiring with_connect = {.connect = connect_unless_b};

static void test_a_good_file(void **state)
{
    (void)state;
    struct run run = run_on(&without_connect, "node: n\nstorage: {path: /s}\nsinks:\n" SINK("a", "g"), NULL);
    assert_int_equal(run.code, EXIT_CLEAN);
    assert_string_equal(run.err, "");
    assert_int_equal(strncmp(run.out, "node n\nstore /s\n", 15), 0);
    assert_non_null(strstr(run.out, "\nsink a: kafka\n"));
    assert_null(strstr(run.out, "connections"));
}

static void test_a_file_with_mistakes(void **state)
{
    (void)state;
    struct run run = run_on(&without_connect, "storage: {path: s}\nnode: n m\n", NULL);
    char expected[512];
    assert_int_equal(run.code, EXIT_BAD_CONFIG);
    assert_string_equal(run.out, "");
    snprintf(expected, sizeof expected,
             "%s/varve.yaml:1:17: storage.path: \"s\" is not an absolute path; start it with /\n"
             "%s/varve.yaml:2:7: node: \"n m\" can't be part of a member id; write 1 to 64 of the characters "
             "A-Z, a-z, "
             "0-9, . _ -\n",
             directory, directory);
    assert_string_equal(run.err, expected);
}

static void test_connections(void **state)
{
    (void)state;
    struct run run =
        run_on(&with_connect, "node: n\nstorage: {path: /s}\nsinks:\n" SINK("a", "g"), "--connect");
    assert_int_equal(run.code, EXIT_CLEAN);
    assert_non_null(strstr(run.out, "\nconnections\n  a                   1 broker\n"));
    run = run_on(&with_connect, "node: n\nstorage: {path: /s}\nsinks:\n" SINK("b", "g") SINK("a", "h"),
                 "--connect");
    assert_int_equal(run.code, EXIT_BAD_CONFIG);
    assert_string_equal(run.err, "varve check: sink b: b:9092 doesn't answer\n");
    assert_non_null(strstr(run.out, "\nconnections\n  a                   1 broker\n"));
    run = run_on(&without_connect, "node: n\nstorage: {path: /s}\n", "--connect");
    assert_int_equal(run.code, EXIT_WRONG_USAGE);
}

static void test_usage(void **state)
{
    (void)state;
    char check[] = "check", help[] = "-h", unknown[] = "-x", file[] = "-c", more[] = "more";
    char *help_args[] = {check, help, NULL}, *unknown_args[] = {check, unknown, NULL};
    char *file_args[] = {check, file, NULL}, *more_args[] = {check, more, NULL};
    struct run run = run_check(&without_connect, 2, help_args);
    assert_int_equal(run.code, EXIT_CLEAN);
    assert_non_null(strstr(run.out, "Usage: varve check [-c FILE]\n"));
    assert_null(strstr(run.out, "--connect"));
    run = run_check(&with_connect, 2, help_args);
    assert_non_null(strstr(run.out, "--connect       also reach each broker\n"));
    char **wrong[] = {unknown_args, file_args, more_args};
    for (size_t i = 0; i < 3; i++) {
        run = run_check(&without_connect, 2, wrong[i]);
        assert_int_equal(run.code, EXIT_WRONG_USAGE);
        assert_string_equal(run.out, "");
        assert_non_null(strstr(run.err, "; see `varve check -h`\n"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_file),
        cmocka_unit_test(test_a_file_with_mistakes),
        cmocka_unit_test(test_connections),
        cmocka_unit_test(test_usage),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
