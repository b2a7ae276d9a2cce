/* What is told of a connection that can't be made. With real brokers: tests/real/tls.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sinks/mqtt/mqtt_diagnose.h"
#include "sinks/mqtt/mqtt_internal.h"
#include "src/base/clock.h"
#include "src/base/thread.h"
#include "tests/doubles/batch_catcher.h"

static bool never(void *arg)
{
    (void)arg;
    return false;
}

static bool at_once(void *arg)
{
    (void)arg;
    return true;
}

/* A socket on loopback and its port; nobody accepts before listen. */
static int bound(uint16_t *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static void nobody_listens(void **state)
{
    (void)state;
    char why[256] = "", expected[256];
    struct mqtt_target t = {.address = "127.0.0.1", .name = "localhost"};
    int fd = bound(&t.port);
    assert_true(mqtt_diagnose(&t, 3000, never, NULL, why, sizeof why));
    snprintf(expected, sizeof expected, "127.0.0.1 port %u: Connection refused", t.port);
    assert_string_equal(why, expected);
    close(fd);
}

/* Whoever answers with text, or hangs up. */
struct server {
    int fd;
    const char *answer;
};

static void serve_once(void *arg)
{
    struct server *server = arg;
    char hello[512];
    int fd = accept(server->fd, NULL, NULL);
    if (fd < 0)
        return;
    (void)!read(fd, hello, sizeof hello);
    (void)!write(fd, server->answer, strlen(server->answer));
    close(fd);
}

static void no_tls_there(void **state)
{
    (void)state;
    const char *const answers[] = {"", "HTTP/1.1 400 Bad Request\r\n\r\n"};
    for (size_t i = 0; i < 2; i++) {
        char why[256] = "";
        struct mqtt_target t = {.address = "127.0.0.1", .name = "localhost", .is_tls = true};
        struct server server = {.answer = answers[i]};
        struct thread thread = {0};
        server.fd = bound(&t.port);
        assert_int_equal(listen(server.fd, 1), 0);
        thread_start(&thread, "server", serve_once, &server);
        bool is_found = mqtt_diagnose(&t, 5000, never, NULL, why, sizeof why);
        thread_join(&thread);
        assert_true(is_found);
        assert_non_null(strstr(why, "doesn't answer with TLS"));
        close(server.fd);
    }
}

/* A server that says nothing: the time that was given, or until it's cancelled, and no reason. */
static void silence(void **state)
{
    (void)state;
    char why[256] = "";
    struct mqtt_target t = {.address = "127.0.0.1", .name = "localhost", .is_tls = true};
    int fd = bound(&t.port);
    assert_int_equal(listen(fd, 4), 0);
    assert_false(mqtt_diagnose(&t, 200, never, NULL, why, sizeof why));
    int64_t start = clock_monotonic_ms();
    assert_false(mqtt_diagnose(&t, 20000, at_once, NULL, why, sizeof why));
    assert_true(clock_monotonic_ms() - start < 5000);
    close(fd);
}

static void files_that_are_none(void **state)
{
    (void)state;
    char why[256] = "";
    struct mqtt_target t = {.address = "127.0.0.1", .name = "localhost", .is_tls = true, .ca = "/dev/null"};
    int fd = bound(&t.port);
    assert_int_equal(listen(fd, 4), 0);
    assert_true(mqtt_diagnose(&t, 3000, never, NULL, why, sizeof why));
    assert_non_null(strstr(why, "tls.ca: /dev/null holds no certificate"));
    t.ca = NULL;
    t.cert = "/dev/null";
    assert_true(mqtt_diagnose(&t, 3000, never, NULL, why, sizeof why));
    assert_non_null(strstr(why, "tls.cert: /dev/null holds no certificate"));
    close(fd);
}

static void answers_to_connect(void **state)
{
    (void)state;
    assert_null(mqtt_connack_words(MQTT_VERSION_5, 0));
    assert_null(mqtt_connack_words(MQTT_VERSION_311, -1));
    assert_null(mqtt_connack_words(MQTT_VERSION_5, -1));
    assert_null(mqtt_connack_words(MQTT_VERSION_5, 5));
    assert_string_equal(mqtt_connack_words(MQTT_VERSION_311, 4), "the broker refuses username and password");
    assert_string_equal(mqtt_connack_words(MQTT_VERSION_5, 0x86), "the broker refuses username and password");
    assert_non_null(strstr(mqtt_connack_words(MQTT_VERSION_5, 0x84), "`version`"));
}

/* `varve check --connect` with nobody there: no spool is made, it ends in time, and the URL's path, which may
 * hold a secret, isn't told. */
static void check_of_nobody(void **state)
{
    (void)state;
    uint16_t port;
    char broker[64], expected[128];
    int fd = bound(&port);
    snprintf(broker, sizeof broker, "ws://127.0.0.1:%u/mqtt?token=secret", port);
    const struct mqtt_subscription_options subscription = {
        .filter = "a/#", .qos = 1, .decoder = &catcher_decoder};
    const struct mqtt_sink_options options = {.name = "edge",
                                              .broker = broker,
                                              .client_id = "varve-edge",
                                              .version = MQTT_VERSION_5,
                                              .keepalive_s = 30,
                                              .receive_maximum = 1000,
                                              .session_expiry_s = 3600,
                                              .max_packet_size = 1 << 20,
                                              .spool_path = "/nowhere/spool",
                                              .spool_max_bytes = 1 << 30,
                                              .subscriptions = &subscription,
                                              .subscriptions_count = 1};
    struct buffer found = {0};
    struct error error = {0};
    assert_int_equal(mqtt_connect_check(&options, 5000, &found, &error), ERR_IO);
    snprintf(expected, sizeof expected,
             "no connection with ws://127.0.0.1:%u: 127.0.0.1 port %u: Connection refused", port, port);
    assert_string_equal(error.message, expected);
    assert_int_equal(found.len, 0);
    assert_true(access("/nowhere", F_OK) < 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(no_tls_there),
        cmocka_unit_test(silence),
        cmocka_unit_test(files_that_are_none),
        cmocka_unit_test(answers_to_connect),
        cmocka_unit_test(check_of_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
