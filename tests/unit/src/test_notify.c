#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "src/notify.h"

static int listener;

static void expect(const char *text)
{
    char got[1024];
    ssize_t n = recv(listener, got, sizeof got - 1, MSG_DONTWAIT);
    assert_true(n >= 0);
    got[n] = '\0';
    if (n && got[n - 1] == '\n')
        got[n - 1] = '\0';
    assert_string_equal(got, text);
}

static void test_notices(void **unused)
{
    (void)unused;
    /* An abstract address, so that no file is left. */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[64];
    int len = snprintf(name, sizeof name, "varve-test-notify-%d", (int)getpid());
    memcpy(address.sun_path + 1, name, (size_t)len);
    listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)),
                     0);
    char variable[80];
    snprintf(variable, sizeof variable, "@%s", name);
    (void)setenv("NOTIFY_SOCKET", variable, 1);

    notify_ready();
    expect("READY=1");
    notify_status("%d rows/s\nREADY=1", 42);
    expect("STATUS=42 rows/s READY=1");
    notify_stopping();
    expect("STOPPING=1");

    (void)unsetenv("NOTIFY_SOCKET"); /* not started by systemd: nothing happens */
    notify_ready();
    notify_status("x");
    (void)close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_notices)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
