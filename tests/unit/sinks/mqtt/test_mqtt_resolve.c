#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "sinks/mqtt/mqtt_resolve.h"
#include "src/base/clock.h"

static atomic_int notified;

static void on_done(void *arg)
{
    (void)arg;
    atomic_fetch_add(&notified, 1);
}

static void test_lookup(void **state)
{
    (void)state;
    char address[MQTT_ADDRESS_SIZE] = "";
    int status = 1;
    atomic_store(&notified, 0);
    struct mqtt_lookup *l = mqtt_lookup_start("127.0.0.1", on_done, NULL);
    while (!atomic_load(&notified))
        clock_sleep_ms(1);
    assert_true(mqtt_lookup_done(l, 0, &status, address));
    assert_int_equal(status, 0);
    assert_string_equal(address, "127.0.0.1");
    assert_true(mqtt_lookup_done(l, 5, &status, address)); /* counted round */
    mqtt_lookup_abandon(l);

    l = mqtt_lookup_start("not a name", on_done, NULL);
    mqtt_lookup_abandon(l); /* at any moment */
    mqtt_lookup_abandon(NULL);
}

static void numeric(const char *node, char *dst, size_t size)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    dst[0] = '\0';
    if (getaddrinfo(node, NULL, &hints, &list) == 0) {
        assert_int_equal(
            getnameinfo(list->ai_addr, list->ai_addrlen, dst, (socklen_t)size, NULL, 0, NI_NUMERICHOST), 0);
        freeaddrinfo(list);
    }
}

/* The wrap is in effect in every program that links the sink: this one, too. */
static void test_pin(void **state)
{
    (void)state;
    char address[MQTT_ADDRESS_SIZE];
    if (!mqtt_resolve_can_pin())
        skip();
    assert_int_equal(mqtt_pin("broker.invalid", "127.0.0.9"), 0);
    assert_int_equal(mqtt_pin("broker.invalid", "127.0.0.9"), 0);
    assert_int_equal(mqtt_pin("broker.invalid", "127.0.0.8"), ERR_BUSY);
    numeric("broker.invalid", address, sizeof address);
    assert_string_equal(address, "127.0.0.9");
    mqtt_unpin("broker.invalid");
    numeric("broker.invalid", address, sizeof address);
    assert_string_equal(address, "127.0.0.9");
    mqtt_unpin("broker.invalid");
    mqtt_unpin("never pinned");
    assert_int_equal(mqtt_pin("broker.invalid", "127.0.0.8"), 0);
    numeric("broker.invalid", address, sizeof address);
    assert_string_equal(address, "127.0.0.8");
    mqtt_unpin("broker.invalid");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lookup), cmocka_unit_test(test_pin)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
