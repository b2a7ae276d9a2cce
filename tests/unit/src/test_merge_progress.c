/* A forced merge's progress: as text for people, and through /metrics and back; targets of the HTTP client.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/http_client.h"
#include "src/merge_bar.h"
#include "src/server_progress.h"

static const struct storage_merge_progress half = {
    .running = true,
    .waiting = 1,
    .done_total = 4,
    .failed_total = 2,
    .month = "2026_10",
    .months_done = 1,
    .months_count = 3,
    .rows_done = 1000000,
    .rows_total = 2500000,
    .bytes_done = 500,
    .bytes_total = 1000,
    .left_ms = 64000,
};

static void expect_text(const struct storage_merge_progress *p, size_t bar_width, const char *want)
{
    char text[256];
    merge_bar_text(text, sizeof text, p, bar_width);
    assert_string_equal(text, want);
}

static void the_text_says_how_far_it_is(void **state)
{
    (void)state;
    expect_text(&half, 0, "2026_10: 50 %, 1.0 of 2.5 M rows, 0.5 of 1.0 kB, 1:04 left");
    expect_text(&half, 8, "2026_10: [####----] 50 %, 1.0 of 2.5 M rows, 0.5 of 1.0 kB, 1:04 left");
    struct storage_merge_progress p = half;
    p.rows_done = p.rows_total = 999;
    p.bytes_done = 2000; /* parts that take two passes are counted twice */
    p.left_ms = 0;
    expect_text(&p, 4, "2026_10: [####] 100 %, 999 of 999 rows, 1.0 of 1.0 kB");
    p = (struct storage_merge_progress){.month = "2026_11", .left_ms = 3 * 3600000};
    expect_text(&p, 4, "2026_11: [----] 0 %, 0 of 0 rows, 0 of 0 B, 3:00:00 left");
}

static void elsewhere_than_on_a_terminal_lines_are_few(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    struct merge_bar bar = {.out = out};
    struct storage_merge_progress p = half;
    for (int i = 0; i < 10; i++)
        merge_bar_show(&bar, &p);
    memcpy(p.month, "2026_11", sizeof p.month);
    merge_bar_show(&bar, &p);
    merge_bar_end(&bar);
    p.running = false;
    merge_bar_show(&bar, &p);
    fclose(out);
    assert_string_equal(text, "2026_10: 50 %, 1.0 of 2.5 M rows, 0.5 of 1.0 kB, 1:04 left\n"
                              "2026_11: 50 %, 1.0 of 2.5 M rows, 0.5 of 1.0 kB, 1:04 left\n");
    free(text);
}

static void metrics_bring_it_to_another_process(void **state)
{
    (void)state;
    struct exposition x = {0};
    struct buffer text = {0};
    exposition_add(&x, "varve_forced_merge_rows_done_of_something_else", 7, NULL);
    server_progress_write(&x, &half);
    exposition_write(&x, &text);
    struct storage_merge_progress p;
    assert_true(server_progress_read(&p, buffer_cstr(&text)));
    assert_memory_equal(&p, &half, sizeof p);
    assert_false(server_progress_read(&p, "vm_rows 1\nvarve_forced_merge_rows 5\n"));
    assert_int_equal(p.rows_total, 5);
    assert_false(server_progress_read(&p, ""));
    exposition_release(&x);
    buffer_release(&text);
}

static void expect_target(const char *url, const char *host, const char *port, const char *prefix,
                          const char *authorization)
{
    struct http_target t;
    struct error error = {0};
    if (http_target_parse(&t, url, &error) < 0)
        fail_msg("%s: %s", url, error.message);
    assert_string_equal(t.host, host);
    assert_string_equal(t.port, port);
    assert_string_equal(t.prefix, prefix);
    assert_string_equal(t.authorization, authorization);
    http_target_release(&t);
}

static void urls_are_taken_apart(void **state)
{
    (void)state;
    expect_target("http://host", "host", "8475", "", "");
    expect_target("http://127.0.0.1:1234/", "127.0.0.1", "1234", "", "");
    expect_target("http://h:80/varve/", "h", "80", "/varve", "");
    expect_target("http://[::1]:99", "::1", "99", "", "");
    expect_target("http://u:p@h", "h", "8475", "", "Authorization: Basic dTpw\r\n");
    expect_target("http://us:pw@h", "h", "8475", "", "Authorization: Basic dXM6cHc=\r\n");
    expect_target("http://u:pw@h", "h", "8475", "", "Authorization: Basic dTpwdw==\r\n");
    static const char *const bad[] = {"",           "h",           "https://h",     "http://",
                                      "http://:80", "http://[::1", "http://[::1]x", "http://h?x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct http_target t;
        if (http_target_parse(&t, bad[i], NULL) != ERR_INVALID)
            fail_msg("%s was taken", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_says_how_far_it_is),
        cmocka_unit_test(elsewhere_than_on_a_terminal_lines_are_few),
        cmocka_unit_test(metrics_bring_it_to_another_process),
        cmocka_unit_test(urls_are_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
