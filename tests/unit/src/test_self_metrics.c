#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/alloc.h"
#include "src/self_metrics.h"

static void fake_sink_metrics(struct sink *s, struct buffer *dst)
{
    buffer_printf(dst, "varve_sink_messages_total{sink=\"%s\"} 7\n", s->name);
    buffer_printf(dst, "varve_kafka_lag{sink=\"%s\",topic=\"t\",partition=\"0\"} 3\n", s->name);
    buffer_printf(dst, "varve_kafka_lag{sink=\"%s\",topic=\"t\",partition=\"1\"} 0\n", s->name);
}

static const struct sink_ops fake_ops = {.type = "fake", .metrics = fake_sink_metrics};

/* name, then {labels}, then a space and a number. */
static bool is_sample(const char *line)
{
    const char *p = line;
    while (isalnum((unsigned char)*p) || *p == '_')
        p++;
    if (p == line || isdigit((unsigned char)*line))
        return false;
    if (*p == '{') {
        do {
            p++;
            const char *label = p;
            while (isalnum((unsigned char)*p) || *p == '_')
                p++;
            if (p == label || p[0] != '=' || p[1] != '"')
                return false;
            for (p += 2; *p && *p != '"'; p++) {
                if (*p == '\\' && !*++p)
                    return false;
            }
            if (*p++ != '"')
                return false;
        } while (*p == ',');
        if (*p++ != '}')
            return false;
    }
    char *end;
    if (*p++ != ' ')
        return false;
    (void)strtod(p, &end);
    return end != p && *end == '\0';
}

/* Every line is well formed, each family is declared once, before its samples, which come in one run. */
static void check_format(char *text)
{
    char family[128] = "", seen[128][128];
    size_t seen_count = 0;
    for (char *line = text; *line;) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        *end = '\0';
        if (strncmp(line, "# HELP ", 7) == 0) {
            assert_non_null(strchr(line + 7, ' '));
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            size_t len = strcspn(line + 7, " ");
            assert_true(len < sizeof family);
            memcpy(family, line + 7, len);
            family[len] = '\0';
            assert_true(strcmp(line + 7 + len, " gauge") == 0 || strcmp(line + 7 + len, " counter") == 0);
            for (size_t i = 0; i < seen_count; i++)
                assert_string_not_equal(seen[i], family);
            memcpy(seen[seen_count++], family, sizeof family);
        } else {
            if (!is_sample(line))
                fail_msg("not a sample: %s", line);
            size_t len = strlen(family);
            if (strncmp(line, family, len) != 0 || (line[len] != '{' && line[len] != ' '))
                fail_msg("%s lies in family %s", line, family);
        }
        *end = '\n';
        line = end + 1;
    }
}

static void test_all_names(void **unused)
{
    (void)unused;
    struct sink sinks[] = {{.ops = &fake_ops, .name = (char[]){"plant"}},
                           {.ops = &fake_ops, .name = (char[]){"edge"}}};
    struct sink *const list[] = {&sinks[0], &sinks[1]};
    struct intake_counters_list counters = {};
    struct intake_counters *c = intake_counters_take(&counters, "plant");
    counter_add(&c->rows, 12);
    reason_add(&c->rejected, reason_index(&c->rejected, "bad \"quoted\"\nreason\\"), 2);
    reason_add(&c->dropped, reason_index(&c->dropped, "too_old"), 4);
    struct intake_totals totals = {0};
    intake_totals_collect(&totals, &counters);
    struct storage_month_stats months[] = {
        {.month = "2026_10", .inmemory = {7, 8, 9}, .small = {1, 2, 3}, .big = {10, 11, 12}},
        {.month = "2026_11", .index = {4, 5, 6}}};
    struct storage_stats storage = {.months = months,
                                    .months_count = 2,
                                    .series_known = 9,
                                    .commit_age_seconds = 0.25,
                                    .merges = {{.kind = "small", .active = 1},
                                               {.kind = "big",
                                                .total = 13,
                                                .rows_total = 14,
                                                .bytes_read_total = 15,
                                                .bytes_written_total = 16}},
                                    .write_amplification = 2.5,
                                    .parts_waiting = 17};
    struct storage_merge_progress forced_merge = {.running = true, .month = "2026_10", .rows_done = 3};
    struct reject_log_stats rejects = {.size_bytes = 77};
    struct self_metrics m = {.intake = &totals,
                             .storage = &storage,
                             .forced_merge = &forced_merge,
                             .rejects = &rejects,
                             .sinks = list,
                             .sinks_count = 2,
                             .paused = INTAKE_PAUSE_MEMORY};
    struct buffer text = {0};
    self_metrics_write(&m, &text);
    char *copy = xstrdup(buffer_cstr(&text));
    static const char *const wanted[] = {
        "\nvarve_kafka_lag{sink=\"plant\",topic=\"t\",partition=\"0\"} 3\n"
        "varve_kafka_lag{sink=\"plant\",topic=\"t\",partition=\"1\"} 0\n"
        "varve_kafka_lag{sink=\"edge\",topic=\"t\",partition=\"0\"} 3\n",
        "\nvarve_sink_messages_total{sink=\"plant\"} 7\nvarve_sink_messages_total{sink=\"edge\"} 7\n",
        "\nvarve_sink_rows_total{sink=\"plant\"} 12\n",
        "\nvarve_rejected_total{sink=\"plant\",reason=\"bad \\\"quoted\\\"\\nreason\\\\\"} 2\n",
        "\nvarve_rows_dropped_total{reason=\"too_old\"} 4\n",
        "\nvarve_flush_duration_seconds 0\n",
        "\nvarve_commit_age_seconds 0.25\n",
        "\nvarve_oldest_unflushed_seconds 0\n",
        "\nvarve_parts{month=\"2026_10\",kind=\"small\"} 1\n",
        "\nvarve_parts{month=\"2026_11\",kind=\"index\"} 4\n",
        "\nvarve_rows{month=\"2026_10\",kind=\"small\"} 2\n",
        "\nvarve_merges_active{kind=\"small\"} 1\nvarve_merges_active{kind=\"big\"} 0\n",
        "\nvarve_parts{month=\"2026_10\",kind=\"inmemory\"} 7\n",
        "\nvarve_rows{month=\"2026_10\",kind=\"inmemory\"} 8\n",
        "\nvarve_part_bytes{month=\"2026_10\",kind=\"inmemory\"} 9\n",
        "\nvarve_parts{month=\"2026_10\",kind=\"big\"} 10\n",
        "\nvarve_rows{month=\"2026_10\",kind=\"big\"} 11\n",
        "\nvarve_part_bytes{month=\"2026_10\",kind=\"big\"} 12\n",
        "\nvarve_index_items{month=\"2026_11\"} 5\n",
        "\nvarve_merges_total{kind=\"big\"} 13\n",
        "\nvarve_merged_rows_total{kind=\"big\"} 14\n",
        "\nvarve_merge_read_bytes_total{kind=\"big\"} 15\n",
        "\nvarve_merge_written_bytes_total{kind=\"big\"} 16\n",
        "\nvarve_write_amplification 2.5\n",
        "\nvarve_merge_parts_waiting 17\n",
        "\nvarve_forced_merge_running{month=\"2026_10\"} 1\n",
        "\nvarve_forced_merge_rows_done 3\n",
        "\nvarve_intake_paused{reason=\"disk\"} 0\nvarve_intake_paused{reason=\"memory\"} 1\n",
        "\nvarve_series_active 9\n",
        "\nvarve_new_series_total 0\n",
        "\nvarve_rejects_bytes 77\n",
        "\nprocess_cpu_seconds_total ",
        "\nprocess_resident_memory_bytes ",
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (!strstr(copy, wanted[i]))
            fail_msg("missing: %s in\n%s", wanted[i], copy);
    }
    check_format(copy);
    free(copy);
    buffer_release(&text);
    intake_totals_release(&totals);
    intake_counters_give_back(c);
    intake_counters_list_release(&counters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
