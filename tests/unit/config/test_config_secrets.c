#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config_secrets.h"
#include "src/base/alloc.h"

static char directory[] = "/tmp/varve-test-secrets-XXXXXX";

static char *write_file(const char *name, const char *text, size_t size)
{
    char *path = xasprintf("%s/%s", directory, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    return path;
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) && setenv("CREDENTIALS_DIRECTORY", directory, 1) == 0 &&
                   setenv("VARVE_TEST_USER", "u", 1) == 0 && setenv("VARVE_TEST_EMPTY", "", 1) == 0
               ? 0
               : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

static void expect(const char *text, const char *expanded, bool secret)
{
    char *got = NULL;
    bool got_secret = !secret;
    struct error err = {0};
    if (config_secrets_expand(text, &got, &got_secret, &err) != 0)
        fail_msg("%s: %s", text, err.message);
    assert_string_equal(got, expanded);
    assert_int_equal(got_secret, secret);
    free(got);
}

static void expect_error(const char *text, const char *message)
{
    char *got = NULL;
    bool secret = false;
    struct error err = {0};
    assert_int_equal(config_secrets_expand(text, &got, &secret, &err), ERR_INVALID);
    assert_null(got);
    assert_string_equal(err.message, message);
}

static void test_variables(void **state)
{
    (void)state;
    expect("", "", false);
    expect("plain %d {x} 100%", "plain %d {x} 100%", false);
    expect("%{VARVE_TEST_USER}", "u", true);
    expect("<%{VARVE_TEST_USER}%{VARVE_TEST_USER}>", "<uu>", true);
    expect("%{VARVE_TEST_EMPTY}", "", true);
    expect("%%{VARVE_TEST_USER}", "%{VARVE_TEST_USER}", false);
    expect("100%%", "100%%", false);
    expect_error("%{VARVE_TEST_NONE}",
                 "the environment variable VARVE_TEST_NONE isn't set; set it, or write %%{ for a "
                 "literal %{");
    expect_error("%{}", "%{...} names no secret; write %{ENV_VAR}, %{file:/path} or %{credential:NAME}");
    expect_error("%{9}", "%{...} names no secret; write %{ENV_VAR}, %{file:/path} or %{credential:NAME}");
    expect_error("%{a", "%{ without its }; write %{ENV_VAR}, or %%{ for a literal %{");
}

/* What a variable holds isn't expanded again. */
static void test_no_second_expansion(void **state)
{
    (void)state;
    assert_int_equal(setenv("VARVE_TEST_NESTED", "%{VARVE_TEST_USER}", 1), 0);
    expect("%{VARVE_TEST_NESTED}", "%{VARVE_TEST_USER}", true);
}

static void test_files(void **state)
{
    static char large[70000], text[300];
    (void)state;
    char *path = write_file("p", "s3cret\n", 7);
    snprintf(text, sizeof text, "%%{file:%s}", path);
    expect(text, "s3cret", true);
    free(write_file("p", "two\n\n", 5));
    expect(text, "two\n", true);
    free(write_file("p", "dos\r\n", 5));
    expect(text, "dos", true);
    free(write_file("p", "", 0));
    expect(text, "", true);

    char message[400];
    free(write_file("p", "a\0b", 3));
    snprintf(message, sizeof message, "the secret's file %s holds a zero byte; a secret is text", path);
    expect_error(text, message);
    memset(large, 'x', sizeof large);
    free(write_file("p", large, sizeof large));
    snprintf(message, sizeof message,
             "the secret's file %s is larger than 64 KiB; name one that holds the secret alone", path);
    expect_error(text, message);

    /* A FIFO without a writer must not hang. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(message, sizeof message,
             "the secret's file %s is no regular file; name one that holds the secret", path);
    expect_error(text, message);
    assert_int_equal(unlink(path), 0);
    free(path);
}

static void test_credentials(void **state)
{
    (void)state;
    char *path = write_file("edge", "pass word\n", 10);
    expect("%{credential:edge}", "pass word", true);
    assert_int_equal(unlink(path), 0);
    free(path);
    expect_error("%{credential:}", "a credential's name is a file name without /; write %{credential:NAME}");
    expect_error("%{credential:..}",
                 "a credential's name is a file name without /; write %{credential:NAME}");
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    expect_error("%{credential:edge}",
                 "there are no credentials: $CREDENTIALS_DIRECTORY isn't set; give the unit "
                 "LoadCredential=edge:/path");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_no_second_expansion),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_credentials),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
