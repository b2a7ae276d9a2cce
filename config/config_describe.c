#include "config/config_describe.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void describe_storage(const struct config *cfg, struct buffer *dst)
{
    const struct config_storage *storage = &cfg->storage;
    char text[CONFIG_VALUE_TEXT_MAX];
    buffer_printf(dst, "store %s\n", config_shown(cfg, storage->path));
    config_describe_line(dst, "retention", "%s: older samples are refused",
                         config_format_duration_ms(storage->retention_ms, text));
    config_describe_line(dst, "flush_interval", "%s: this often rows go to disk and offsets are committed",
                         config_format_duration_ms(storage->flush_interval_ms, text));
    config_describe_line(dst, "min_free_disk", "%s: with less, intake pauses; queries go on",
                         config_format_size(storage->min_free_disk_bytes, text));
    config_describe_line(dst, "memory_limit", "%s%s: at it, intake pauses",
                         config_format_percent_or_size(storage->memory_limit, text),
                         storage->memory_limit.percent ? " of the cgroup's or machine's memory" : "");
    if (storage->merge_workers_count)
        config_describe_line(dst, "merge_workers", "%" PRIu32 " for small parts, %" PRIu32 " for big ones",
                             storage->merge_workers_count, storage->merge_workers_count);
    else
        config_describe_line(dst, "merge_workers", "0: one per core for small parts, and one for big ones");
    config_describe_line(dst, "trust_clock", "%s",
                         storage->trust_clock ? "true: an odd system clock doesn't stop intake"
                                              : "false: intake waits while the system clock is implausible");
}

static void describe_http(const struct config *cfg, struct buffer *dst)
{
    const struct config_http *http = &cfg->http;
    buffer_append_str(dst, "\nhttp\n");
    if (!http->listen_count)
        config_describe_line(dst, "listen", "off");
    for (size_t i = 0; i < http->listen_count; i++)
        config_describe_line(dst, i ? "" : "listen", "%s", config_shown(cfg, http->listen[i].text));
    if (!http->listen_count)
        return;
    if (*http->username)
        config_describe_line(dst, "auth", "user %s, password ***: needed to change state from other machines",
                             config_shown(cfg, http->username));
    else
        config_describe_line(dst, "auth", "none: only this machine can change state");
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
        config_describe_sink(cfg, &cfg->sinks[i], dst);
    buffer_append_str(dst, "\nrejects\n");
    config_describe_line(dst, "path", "%s", config_shown(cfg, cfg->rejects.path));
    config_describe_line(dst, "max_size", "%s: beyond it the oldest go, and are counted",
                         config_format_size(cfg->rejects.max_size_bytes, text));
    if (cfg->rejects.kafka.brokers.count)
        config_describe_line(dst, "kafka",
                             "topic %s, %zu broker(s): a copy of each goes there, at least once",
                             config_shown(cfg, cfg->rejects.kafka_topic), cfg->rejects.kafka.brokers.count);
    describe_http(cfg, dst);
    buffer_append_str(dst, "\nlog\n");
    config_describe_line(dst, "level", "%s", levels[cfg->log.level]);
    config_describe_line(dst, "format", "%s", formats[cfg->log.format]);
}
