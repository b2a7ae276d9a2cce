#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "sinks/mqtt/mqtt_url.h"

static void test_good(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        unsigned port;
        bool is_tls, is_websocket, is_ipv6;
        const char *path;
    } cases[] = {
        {"mqtt://edge", "edge", 1883, false, false, false, ""},
        {"mqtts://edge.example:8884", "edge.example", 8884, true, false, false, ""},
        {"mqtt://127.0.0.1:1/", "127.0.0.1", 1, false, false, false, ""},
        {"WS://h", "h", 80, false, true, false, ""}, /* a scheme in any case: RFC 3986, 3.1 */
        {"wss://h:9001/mqtt?a=b", "h", 9001, true, true, false, "/mqtt?a=b"},
        {"mqtt://[::1]:1884", "::1", 1884, false, false, true, ""},
        {"mqtts://[fe80::1]", "fe80::1", 8883, true, false, true, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mqtt_url url;
        assert_int_equal(mqtt_url_parse(cases[i].text, &url, NULL), 0);
        assert_string_equal(url.host, cases[i].host);
        assert_int_equal(url.port, cases[i].port);
        assert_int_equal(url.is_tls, cases[i].is_tls);
        assert_int_equal(url.is_websocket, cases[i].is_websocket);
        assert_int_equal(url.is_ipv6, cases[i].is_ipv6);
        assert_string_equal(url.path, cases[i].path);
    }
}

static void test_bad(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",           "edge:1883",      "tcp://edge", "mqtt://",      "mqtt://:1",     "mqtt://h:",
        "mqtt://h:0", "mqtt://h:65536", "mqtt://h:x", "mqtt://u:p@h", "mqtt://h/path", "mqtt://[::1",
        "mqtt://[x]", "mqtt://[::1]x1", "mqtt://h h", "ws://h/a b",   "mqtt://h:1:2"};
    struct mqtt_url url;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error error = {0};
        if (mqtt_url_parse(bad[i], &url, &error) != ERR_INVALID || !error.message[0])
            fail_msg("%s is taken", bad[i]);
    }
    char text[1024] = "mqtt://";
    memset(text + 7, 'a', 300);
    assert_int_equal(mqtt_url_parse(text, &url, NULL), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
