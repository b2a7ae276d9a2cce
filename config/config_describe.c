#include "config/config_describe.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Two columns: the key as the file has it, and what it means. */
static void append_line(struct buffer *dst, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void append_line(struct buffer *dst, const char *key, const char *format, ...)
{
    va_list args;
    buffer_printf(dst, "  %-19s ", key);
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    va_start(args, format);
    vsnprintf((char *)buffer_reserve(dst, (size_t)length + 1), (size_t)length + 1, format, args);
    va_end(args);
    dst->len += (size_t)length;
    buffer_append_u8(dst, '\n');
}

static void append_list(struct buffer *dst, const struct config *cfg, const char *key,
                        const struct config_strings *strings)
{
    buffer_printf(dst, "  %-19s ", key);
    for (size_t i = 0; i < strings->count; i++)
        buffer_printf(dst, "%s%s%s", i ? ", " : "", config_shown(cfg, strings->items[i]),
                      *strings->items[i] == '^' ? " (expression)" : "");
    buffer_append_u8(dst, '\n');
}

static void describe_storage(const struct config *cfg, struct buffer *dst)
{
    const struct config_storage *storage = &cfg->storage;
    char text[CONFIG_VALUE_TEXT_MAX];
    buffer_printf(dst, "store %s\n", config_shown(cfg, storage->path));
    append_line(dst, "retention", "%s: older samples are refused",
                config_format_duration_ms(storage->retention_ms, text));
    append_line(dst, "flush_interval", "%s: this often rows go to disk and offsets are committed",
                config_format_duration_ms(storage->flush_interval_ms, text));
    append_line(dst, "min_free_disk", "%s: with less, intake pauses; queries go on",
                config_format_size(storage->min_free_disk_bytes, text));
    append_line(dst, "memory_limit", "%s%s: at it, intake pauses",
                config_format_percent_or_size(storage->memory_limit, text),
                storage->memory_limit.percent ? " of the cgroup's or machine's memory" : "");
    if (storage->merge_workers_count)
        append_line(dst, "merge_workers", "%" PRIu32 " for small parts, %" PRIu32 " for big ones",
                    storage->merge_workers_count, storage->merge_workers_count);
    else
        append_line(dst, "merge_workers", "0: one per core for small parts, and one for big ones");
    append_line(dst, "trust_clock", "%s",
                storage->trust_clock ? "true: an odd system clock doesn't stop intake"
                                     : "false: intake waits while the system clock is implausible");
}

static void describe_partitions(const struct config_sink *sink, struct buffer *dst)
{
    buffer_printf(dst, "  %-19s static: ", "partitions");
    for (size_t i = 0; i < sink->partitions_count; i++) {
        buffer_printf(dst, "%s%s [", i ? "; " : "", sink->partitions[i].topic);
        for (size_t j = 0; j < sink->partitions[i].count; j++)
            buffer_printf(dst, "%s%" PRId32, j ? ", " : "", sink->partitions[i].partitions[j]);
        buffer_append_u8(dst, ']');
    }
    buffer_append_u8(dst, '\n');
}

static void describe_start(const struct config_sink *sink, struct buffer *dst)
{
    char text[CONFIG_VALUE_TEXT_MAX];
    const char *from = sink->start_from.at == CONFIG_START_EARLIEST ? "earliest"
                       : sink->start_from.at == CONFIG_START_LATEST
                           ? "latest"
                           : config_format_time_ms(sink->start_from.time_ms, text);
    append_line(dst, "start_from", "%s, where no position is known", from);
    append_line(dst, "on_topic_recreated", "%s",
                sink->on_topic_recreated == CONFIG_RECREATED_STOP
                    ? "stop: that partition stands still until someone decides"
                    : "earliest: the new topic is read from its start");
    append_line(dst, "on_out_of_range", "%s",
                sink->on_out_of_range == CONFIG_OUT_OF_RANGE_STOP
                    ? "stop: that partition stands still until someone decides"
                    : "earliest: reading goes on there, the gap is counted");
    append_line(dst, "leave_on_stop", "%s",
                sink->leave_on_stop ? "true: a clean stop leaves the group, others take over at once"
                                    : "false: a restart moves no partition");
}

static void describe_payload(const struct config_sink *sink, struct buffer *dst)
{
    static const char *const precisions[] = {
        [CONFIG_PRECISION_AUTO] = "auto: by a timestamp's digits",
        [CONFIG_PRECISION_NS] = "ns: timestamps are nanoseconds",
        [CONFIG_PRECISION_US] = "us: timestamps are microseconds",
        [CONFIG_PRECISION_MS] = "ms: timestamps are milliseconds",
        [CONFIG_PRECISION_S] = "s: timestamps are seconds",
    };
    append_line(dst, "format", "%s", sink->format);
    append_line(dst, "timestamp", "%s",
                sink->timestamp_from == CONFIG_TIMESTAMP_PAYLOAD
                    ? "payload: its own, or the record's if it has none"
                    : "record: Kafka's, whatever the payload says");
    append_line(dst, "precision", "%s", precisions[sink->precision]);
}

static void describe_sink(const struct config *cfg, const struct config_sink *sink, struct buffer *dst)
{
    char text[CONFIG_VALUE_TEXT_MAX];
    buffer_printf(dst, "\nsink %s: kafka\n", config_shown(cfg, sink->name));
    append_list(dst, cfg, "brokers", &sink->brokers);
    if (sink->partitions_count)
        describe_partitions(sink, dst);
    else
        append_list(dst, cfg, "topics", &sink->topics);
    append_line(dst, "group", "%s", config_shown(cfg, sink->group));
    describe_payload(sink, dst);
    describe_start(sink, dst);
    append_line(dst, "threads", "%" PRIu32, sink->threads_count);
    append_line(dst, "queue_size", "%s fetched but not decoded",
                config_format_size(sink->queue_size_bytes, text));
    append_line(dst, "max_message_size", "%s: larger messages go to the rejects",
                config_format_size(sink->max_message_size_bytes, text));
    if (!sink->librdkafka_count)
        append_line(dst, "librdkafka", "no properties");
    for (size_t i = 0; i < sink->librdkafka_count; i++)
        append_line(dst, i ? "" : "librdkafka", "%s = %s", sink->librdkafka[i].key,
                    config_shown(cfg, sink->librdkafka[i].value));
}

static void describe_http(const struct config *cfg, struct buffer *dst)
{
    const struct config_http *http = &cfg->http;
    buffer_append_str(dst, "\nhttp\n");
    if (!http->listen_count)
        append_line(dst, "listen", "off");
    for (size_t i = 0; i < http->listen_count; i++)
        append_line(dst, i ? "" : "listen", "%s", config_shown(cfg, http->listen[i].text));
    if (!http->listen_count)
        return;
    if (*http->username)
        append_line(dst, "auth", "user %s, password ***: needed to change state from other machines",
                    config_shown(cfg, http->username));
    else
        append_line(dst, "auth", "none: only this machine can change state");
}

void config_describe(const struct config *cfg, struct buffer *dst)
{
    static const char *const levels[] = {[LOG_LEVEL_ERROR] = "error",
                                         [LOG_LEVEL_WARNING] = "warning",
                                         [LOG_LEVEL_INFO] = "info",
                                         [LOG_LEVEL_DEBUG] = "debug"};
    static const char *const formats[] = {[LOG_FORMAT_AUTO] =
                                              "auto: the journal's fields under systemd, else text",
                                          [LOG_FORMAT_TEXT] = "text",
                                          [LOG_FORMAT_JSON] = "json"};
    char text[CONFIG_VALUE_TEXT_MAX];
    buffer_printf(dst, "node %s\n", config_shown(cfg, cfg->node));
    describe_storage(cfg, dst);
    if (!cfg->sinks_count)
        buffer_append_str(dst, "\nno sinks: nothing is taken in\n");
    for (size_t i = 0; i < cfg->sinks_count; i++)
        describe_sink(cfg, &cfg->sinks[i], dst);
    buffer_append_str(dst, "\nrejects\n");
    append_line(dst, "path", "%s", config_shown(cfg, cfg->rejects.path));
    append_line(dst, "max_size", "%s: beyond it the oldest go, and are counted",
                config_format_size(cfg->rejects.max_size_bytes, text));
    describe_http(cfg, dst);
    buffer_append_str(dst, "\nlog\n");
    append_line(dst, "level", "%s", levels[cfg->log.level]);
    append_line(dst, "format", "%s", formats[cfg->log.format]);
}
