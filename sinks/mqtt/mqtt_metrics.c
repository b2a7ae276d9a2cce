/* The sink's own metrics. varve_sink_rows_total and varve_rejected_total are the intake's. */
#include <inttypes.h>

#include "sinks/mqtt/mqtt_internal.h"

void mqtt_metrics(struct sink *base, struct buffer *dst)
{
    struct mqtt_sink *s = mqtt_sink_of(base);
    struct spool_stats spool = {0};
    uint64_t held = 0;
    mutex_lock(&s->lock);
    bool is_connected = s->state == MQTT_CONNECTED;
    mutex_unlock(&s->lock);
    mutex_lock(&s->release_lock);
    if (s->puback)
        held = mqtt_puback_count(s->puback);
    mutex_unlock(&s->release_lock);
    if (atomic_load(&s->is_open))
        spool_get_stats(s->spool, &spool);
    const struct {
        const char *name;
        uint64_t value;
    } metrics[] = {
        {"varve_spool_bytes", spool.bytes},
        {"varve_spool_segments", spool.segments},
        {"varve_spool_first_lsn", spool.first_lsn},
        {"varve_spool_next_lsn", spool.next_lsn},
        {"varve_spool_durable_lsn", spool.durable_lsn},
        {"varve_spool_commits_total", spool.commits_total},
        {"varve_spool_failures_total", spool.failures_total},
        {"varve_spool_discarded_messages_total", spool.discarded_total},
        {"varve_spool_torn_bytes", spool.torn_bytes},
        {"varve_spool_damaged_messages_total", atomic_load(&s->damaged)},
        {"varve_mqtt_connected", is_connected},
        {"varve_mqtt_connects_total", atomic_load(&s->connects)},
        {"varve_mqtt_connect_failures_total", atomic_load(&s->connect_failures)},
        {"varve_mqtt_lost_connections_total", atomic_load(&s->lost_connections)},
        {"varve_mqtt_subscriptions_refused_total", atomic_load(&s->subscriptions_refused)},
        {"varve_mqtt_received_messages_total", atomic_load(&s->received)},
        {"varve_mqtt_received_bytes_total", atomic_load(&s->bytes_received)},
        {"varve_mqtt_held_pubacks", held},
        {"varve_mqtt_refused_messages_total", atomic_load(&s->refused)},
        {"varve_mqtt_redelivered_messages_total", atomic_load(&s->redelivered)},
        {"varve_mqtt_ambiguous_redelivery_total", atomic_load(&s->ambiguous)},
        {"varve_mqtt_sessions_lost_total", atomic_load(&s->sessions_lost)},
        {"varve_mqtt_packet_ids_count_up", s->spool && mqtt_session_counts_up(&s->session)},
        {"varve_mqtt_unmatched_messages_total", atomic_load(&s->unmatched)},
        {"varve_mqtt_empty_messages_total", atomic_load(&s->empty)},
        {"varve_mqtt_retained_dropped_messages_total", atomic_load(&s->dropped_retained)},
        {"varve_mqtt_spool_full_dropped_messages_total", atomic_load(&s->dropped_full)},
        {"varve_mqtt_hand_overs_refused_total", atomic_load(&s->hand_overs_refused)},
        {"varve_sink_messages_total", atomic_load(&s->messages)},
    };
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++)
        buffer_printf(dst, "%s{sink=\"%s\"} %" PRIu64 "\n", metrics[i].name, base->name, metrics[i].value);
}
