#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "src/http_access.h"

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage ss = {0};
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        memcpy(&ss, &in, sizeof in);
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
        memcpy(&ss, &in6, sizeof in6);
    }
    return ss;
}

static void test_loopback(void **unused)
{
    (void)unused;
    static const char *const own[] = {"127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"};
    static const char *const strange[] = {"10.0.0.1", "128.0.0.1", "::2", "::ffff:10.0.0.1", "fe80::1"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        struct sockaddr_storage ss = address(own[i]);
        assert_true(http_peer_is_loopback((struct sockaddr *)&ss));
    }
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        struct sockaddr_storage ss = address(strange[i]);
        assert_false(http_peer_is_loopback((struct sockaddr *)&ss));
    }
    assert_false(http_peer_is_loopback(NULL));
}

static void test_host(void **unused)
{
    (void)unused;
    static const char *const own[] = {"127.0.0.1", "127.0.0.1:8475", "[::1]", "[::1]:8475", "10.1.2.3:1",
                                      "localhost", "LocalHost:8475", "node7", "NODE7:80"};
    static const char *const foreign[] = {"evil.example",
                                          "evil.example:8475",
                                          "localhost.evil.example",
                                          "",
                                          ":8475",
                                          "[::1",
                                          "[::1]x",
                                          "127.0.0.1.evil.example",
                                          "node7.evil",
                                          "[evil]"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        assert_true(http_host_is_own(own[i], "node7"));
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        assert_false(http_host_is_own(foreign[i], "node7"));
    assert_false(http_host_is_own(NULL, "node7"));
    assert_false(http_host_is_own("", ""));
}

static void test_basic_auth(void **unused)
{
    (void)unused;
    /* user:pa:ss */
    assert_true(http_basic_auth_matches("Basic dXNlcjpwYTpzcw==", "user", "pa:ss"));
    assert_true(http_basic_auth_matches("basic dXNlcjpwYTpzcw", "user", "pa:ss"));
    assert_false(http_basic_auth_matches("Basic dXNlcjpwYTpzcw==", "user", "pa:s"));
    assert_false(http_basic_auth_matches("Basic dXNlcjpwYTpzcw==", "user", "pa:sss"));
    assert_false(http_basic_auth_matches("Basic dXNlcjpwYTpzcw==x", "user", "pa:ss"));
    assert_false(http_basic_auth_matches("Basic dXNl!jpwYTpzcw==", "user", "pa:ss"));
    assert_false(http_basic_auth_matches("Bearer dXNlcjpwYTpzcw==", "user", "pa:ss"));
    assert_false(http_basic_auth_matches("Basic ", "user", "pa:ss"));
    assert_false(http_basic_auth_matches(NULL, "user", "pa:ss"));
    char longest[4096] = "Basic ";
    memset(longest + 6, 'A', sizeof longest - 7);
    assert_false(http_basic_auth_matches(longest, "user", "pa:ss"));
}

static void test_may_change(void **unused)
{
    (void)unused;
    struct sockaddr_storage own = address("127.0.0.1"), strange = address("10.0.0.9");
    const struct sockaddr *here = (struct sockaddr *)&own, *there = (struct sockaddr *)&strange;
    const char *right = "Basic dXNlcjpwYTpzcw==", *why;
    const struct {
        struct http_caller caller;
        bool has_auth;
        enum http_access expected;
    } cases[] = {
        {{here, "localhost:8475", NULL, NULL, NULL}, false, HTTP_ACCESS_OK},
        {{here, "localhost:8475", NULL, NULL, NULL}, true, HTTP_ACCESS_OK},
        {{here, "evil.example:8475", NULL, NULL, NULL}, false, HTTP_ACCESS_FORBIDDEN},
        {{here, NULL, NULL, NULL, NULL}, false, HTTP_ACCESS_FORBIDDEN},
        {{here, "localhost:8475", "http://localhost:8475", NULL, NULL}, false, HTTP_ACCESS_OK},
        {{here, "localhost:8475", "http://evil.example", NULL, NULL}, false, HTTP_ACCESS_FORBIDDEN},
        {{here, "localhost:8475", "null", NULL, NULL}, false, HTTP_ACCESS_FORBIDDEN},
        {{here, "localhost:8475", NULL, "cross-site", NULL}, false, HTTP_ACCESS_FORBIDDEN},
        {{here, "localhost:8475", NULL, "same-origin", NULL}, false, HTTP_ACCESS_OK},
        {{here, "localhost:8475", NULL, "none", NULL}, false, HTTP_ACCESS_OK},
        {{there, "10.0.0.1:8475", NULL, NULL, NULL}, false, HTTP_ACCESS_FORBIDDEN},
        {{there, "10.0.0.1:8475", NULL, NULL, right}, false, HTTP_ACCESS_FORBIDDEN},
        {{there, "10.0.0.1:8475", NULL, NULL, NULL}, true, HTTP_ACCESS_UNAUTHORIZED},
        {{there, "10.0.0.1:8475", NULL, NULL, "Basic dXNlcjp4"}, true, HTTP_ACCESS_UNAUTHORIZED},
        {{there, "10.0.0.1:8475", NULL, NULL, right}, true, HTTP_ACCESS_OK},
        {{there, "varve.plant.example", NULL, NULL, right}, true, HTTP_ACCESS_OK},
        {{there, "varve.plant.example", "http://evil.example", NULL, right}, true, HTTP_ACCESS_FORBIDDEN},
        {{NULL, "localhost", NULL, NULL, NULL}, false, HTTP_ACCESS_FORBIDDEN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum http_access got = http_may_change(&cases[i].caller, cases[i].has_auth ? "user" : "",
                                               cases[i].has_auth ? "pa:ss" : "", "node7", &why);
        if (got != cases[i].expected)
            fail_msg("case %zu: %d", i, got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loopback),
        cmocka_unit_test(test_host),
        cmocka_unit_test(test_basic_auth),
        cmocka_unit_test(test_may_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
