#include "tests/real/mqtt/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/mqtt/mqtt_resolve.h"
#include "src/base/clock.h"

static const char *tls_file(const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/tls/%s", need("MQTT_DIR"), name);
    return path;
}

static void assert_works(struct node *n)
{
    char topic[128];
    node_connect(n);
    snprintf(topic, sizeof topic, "%s/x", n->client_id);
    publish(topic, 1, "m", 0, 300, 0);
    assert_true(node_wait_rows(n, 300, 10000));
    assert_int_equal(assert_none_missing(n, "m", 300), 0);
    node_close(n);
}

static void assert_refused(struct node *n)
{
    node_start(n);
    assert_true(node_wait_metric(n, "varve_mqtt_connect_failures_total", 1, 20000));
    assert_int_equal(node_metric(n, "varve_mqtt_connects_total"), 0);
    node_close(n);
}

static void trap_websocket(void **state)
{
    (void)state;
    struct node n;
    node_open(&n, unique("ws"), 1);
    node_set_broker(&n, "ws", "127.0.0.1", "MQTT_PORT_WS");
    assert_works(&n);
    node_open(&n, unique("ws"), 1);
    node_set_broker(&n, "ws", "localhost", "MQTT_PORT_WS");
    n.options.version = MQTT_VERSION_311;
    assert_works(&n);
}

static void trap_password(void **state)
{
    (void)state;
    struct node n;
    node_open(&n, unique("auth"), 1);
    node_set_broker(&n, "mqtt", "localhost", "MQTT_PORT_AUTH");
    n.options.username = "test";
    n.options.password = "test-secret";
    node_connect(&n);
    node_close(&n);
    node_open(&n, unique("auth"), 1);
    node_set_broker(&n, "mqtt", "localhost", "MQTT_PORT_AUTH");
    n.options.username = "test";
    n.options.password = "wrong";
    assert_refused(&n);
}

static void tls_node(struct node *n, const char *host, const char *server_name, const char *ca)
{
    node_open(n, unique("tls"), 1);
    node_set_broker(n, "mqtts", host, "MQTT_PORT_TLS");
    n->options.tls_ca = ca ? tls_file(ca) : NULL;
    n->options.tls_server_name = server_name;
}

static void trap_tls(void **state)
{
    (void)state;
    struct node n;
    tls_node(&n, "localhost", NULL, "ca.pem");
    node_connect(&n);
    node_close(&n);
    tls_node(&n, "127.0.0.1", NULL, "ca.pem");
    n.options.version = MQTT_VERSION_311;
    node_connect(&n);
    node_close(&n);
    if (!mqtt_resolve_can_pin())
        return;                                       /* tls.server_name is refused there */
    tls_node(&n, "127.0.0.1", "localhost", "ca.pem"); /* the name is verified, the address connected to */
    node_connect(&n);
    node_close(&n);
}

static void trap_tls_refused(void **state)
{
    (void)state;
    struct node n;
    if (mqtt_resolve_can_pin()) {
        tls_node(&n, "127.0.0.1", "other.example", "ca.pem"); /* another name's certificate */
        assert_refused(&n);
    }
    tls_node(&n, "127.0.0.2", NULL, "ca.pem"); /* nobody there, or another address */
    assert_refused(&n);
    tls_node(&n, "localhost", NULL, "rogue.pem"); /* a CA that didn't sign it */
    assert_refused(&n);
    tls_node(&n, "localhost", NULL, NULL); /* the system's */
    assert_refused(&n);
}

static void trap_client_certificate(void **state)
{
    (void)state;
    struct node n;
    node_open(&n, unique("mtls"), 1);
    node_set_broker(&n, "mqtts", "localhost", "MQTT_PORT_MTLS");
    n.options.tls_ca = tls_file("ca.pem");
    n.options.tls_cert = tls_file("client.pem");
    n.options.tls_key = tls_file("client.key");
    node_connect(&n);
    node_close(&n);
    node_open(&n, unique("mtls"), 1);
    node_set_broker(&n, "mqtts", "localhost", "MQTT_PORT_MTLS");
    n.options.tls_ca = tls_file("ca.pem");
    node_start(&n);
    clock_sleep_ms(3000);
    assert_int_equal(node_metric(&n, "varve_mqtt_connects_total"), 0);
    node_close(&n);
}

/* paho looks names up with its one mutex held: one slow name server would stop every other broker. */
static void trap_slow_name(void **state)
{
    (void)state;
    struct node fast, slow;
    const char *name = unique("fast");
    char topic[128];
    int64_t worst = 0;
    if (!mqtt_resolve_can_pin()) {
        print_message("paho looks names up itself in this build, and others wait\n");
        return;
    }
    if (!getenv("LD_PRELOAD")) {
        print_message("run with LD_PRELOAD=$SLOW_RESOLVER\n");
        skip();
    }
    node_open(&fast, name, 1);
    node_connect(&fast);
    node_open(&slow, unique("slow"), 1);
    node_set_broker(&slow, "mqtt", "slow.invalid", "MQTT_PORT");
    node_start(&slow);
    int64_t end = clock_monotonic_ms() + 8000;
    snprintf(topic, sizeof topic, "%s/x", name);
    for (size_t i = 0; clock_monotonic_ms() < end; i++) {
        int64_t start = clock_monotonic_ms();
        publish(topic, 1, "m", i, i + 1, 0);
        assert_true(node_wait_rows(&fast, i + 1, 10000));
        int64_t took = clock_monotonic_ms() - start;
        worst = took > worst ? took : worst;
    }
    print_message("the other broker's slowest message: %d ms\n", (int)worst);
    assert_true(worst < 3000); /* the lookup takes 7 s */
    assert_true(node_wait_metric(&slow, "varve_mqtt_connects_total", 1, 5000));
    node_close(&slow);

    node_open(&slow, unique("slow"), 1); /* nor does anybody wait for it at the stop */
    node_set_broker(&slow, "mqtt", "slow.invalid", "MQTT_PORT");
    node_start(&slow);
    clock_sleep_ms(200);
    assert_true(node_stop(&slow) < 4000);
    node_close(&slow);
    node_close(&fast);
    clock_sleep_ms(6000); /* the abandoned lookup's thread */
}

static void trap_broker_away(void **state)
{
    (void)state;
    struct node n;
    node_open(&n, unique("away"), 1);
    snprintf(n.broker, sizeof n.broker, "mqtt://127.0.0.1:1");
    node_start(&n);
    assert_true(node_wait_metric(&n, "varve_mqtt_connect_failures_total", 2, 20000));
    assert_true(node_stop(&n) < 4000);
    node_close(&n);
    node_open(&n, unique("away"), 1);
    snprintf(n.broker, sizeof n.broker, "mqtt://name.invalid:1883");
    node_start(&n);
    assert_true(node_wait_metric(&n, "varve_mqtt_connect_failures_total", 1, 20000));
    assert_true(node_stop(&n) < 4000);
    node_close(&n);
}

const struct CMUnitTest network_traps[] = {
    cmocka_unit_test(trap_websocket),
    cmocka_unit_test(trap_password),
    cmocka_unit_test(trap_tls),
    cmocka_unit_test(trap_tls_refused),
    cmocka_unit_test(trap_client_certificate),
    cmocka_unit_test(trap_slow_name),
    cmocka_unit_test(trap_broker_away),
};
const size_t network_traps_count = sizeof network_traps / sizeof *network_traps;
