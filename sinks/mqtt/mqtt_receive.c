/* paho's callback for a message. It runs in the thread that serves all brokers, with paho's mutex held: it
 * must not wait for anything. */
#include "sinks/mqtt/mqtt_internal.h"
#include "src/base/clock.h"
#include "src/base/log.h"

struct mqtt_subscription *mqtt_find_subscription(struct mqtt_sink *s, struct span topic,
                                                 struct mqtt_match *match)
{
    for (size_t i = 0; i < s->subscriptions_count; i++) {
        if (mqtt_filter_match(s->subscriptions[i].filter, topic, match))
            return &s->subscriptions[i];
    }
    return NULL;
}

static void count(atomic_ullong *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void refuse(struct mqtt_sink *s, const MQTTAsync_message *m)
{
    count(&s->refused);
    mqtt_puback_refuse(s->puback, (uint16_t)m->msgid);
}

/* The answer goes out when paho gets the callback's return, and the broker forgets the message: it has to be
 * taken, over the bound if need be. */
static void take_at_once(struct mqtt_sink *s, const struct spool_record *record,
                         const struct mqtt_dedup_message *identity)
{
    uint64_t lsn;
    struct spool_stats stats;
    if (spool_append(s->spool, record, true, &lsn) < 0) {
        count(&s->dropped_full);
    } else {
        mqtt_session_stored(&s->session, identity, lsn);
        mqtt_session_answered(&s->session, identity->packet_id, lsn);
    }
    if (spool_write(s->spool, NULL) < 0)
        mqtt_connection_disconnect(s);
    spool_get_stats(s->spool, &stats);
    if (stats.bytes > s->spool_max_bytes)
        mqtt_connection_disconnect(s);
}

/* Of QoS 2 over 3.1.1 (only a session that another program began has it: we don't subscribe so) paho's
 * answer, PUBREC, isn't held: it's out when the callback runs. */
static bool is_held(const struct mqtt_sink *s, const MQTTAsync_message *m)
{
    return mqtt_puback_is_held() && (m->qos == 1 || (m->qos == 2 && s->version == MQTT_VERSION_5));
}

/* Above QoS 0: what is in the spool already isn't stored again, but answered once that is durable. */
static void take_once(struct mqtt_sink *s, const MQTTAsync_message *m, const struct spool_record *record)
{
    const struct mqtt_dedup_message identity = mqtt_dedup_message_of(record);
    uint64_t lsn;
    enum mqtt_dedup_verdict verdict = mqtt_session_judge(&s->session, &identity, &lsn);
    if (verdict == MQTT_DEDUP_DROP) {
        count(&s->redelivered);
        if (is_held(s, m))
            mqtt_puback_hold(s->puback, identity.packet_id, m->qos, lsn);
        return;
    }
    if (!is_held(s, m)) {
        take_at_once(s, record, &identity);
    } else if (spool_append(s->spool, record, false, &lsn) < 0) {
        /* Neither this one nor those after it: the broker sends them again, in their order. */
        atomic_store(&s->refusing, true);
        refuse(s, m);
        mqtt_connection_disconnect(s);
        return;
    } else {
        mqtt_session_stored(&s->session, &identity, lsn);
        mqtt_puback_hold(s->puback, identity.packet_id, m->qos, lsn);
    }
    if (verdict == MQTT_DEDUP_AMBIGUOUS)
        count(&s->ambiguous);
}

static void take(struct mqtt_sink *s, const MQTTAsync_message *m, struct span topic)
{
    struct spool_record record = {.arrival_ms = clock_now_ms(),
                                  .packet_id = (uint16_t)m->msgid,
                                  .qos = (uint8_t)m->qos,
                                  .retained = m->retained,
                                  .dup = m->dup,
                                  .topic = topic,
                                  .payload = span_of(m->payload, (size_t)m->payloadlen)};
    uint64_t lsn;
    /* What is larger fits in when there is room; 3.1.1 brokers know no limit. The reader rejects it. */
    if (record.payload.len > s->spool_max_bytes / 4) {
        record.cut_from = (uint32_t)record.payload.len;
        record.payload.len = MQTT_REJECT_HEAD;
    }
    if (m->qos > 0)
        take_once(s, m, &record);
    else if (spool_append(s->spool, &record, false, &lsn) < 0)
        count(&s->dropped_full);
}

int mqtt_message_arrived(void *context, char *topic_text, int topic_len, MQTTAsync_message *m)
{
    struct mqtt_sink *s = context;
    struct span topic = span_of(topic_text, topic_len > 0 ? (size_t)topic_len : strlen(topic_text));
    count(&s->received);
    atomic_fetch_add_explicit(&s->bytes_received, (unsigned long long)m->payloadlen, memory_order_relaxed);
    if (is_held(s, m) && (!atomic_load(&s->accepting) || atomic_load(&s->refusing))) {
        refuse(s, m);
    } else {
        bool is_wanted = true;
        if (m->retained && s->retained == MQTT_RETAINED_DROP) {
            count(&s->dropped_retained);
            is_wanted = false;
        } else if (!s->spool || !mqtt_find_subscription(s, topic, NULL)) {
            count(&s->unmatched);
            is_wanted = false;
        }
        if (is_wanted)
            take(s, m, topic);
        else if (is_held(s, m))
            mqtt_puback_hold(s->puback, (uint16_t)m->msgid, m->qos, 0);
    }
    MQTTAsync_freeMessage(&m);
    MQTTAsync_free(topic_text);
    return 1; /* never 0: paho would queue it, acknowledge it, and go on queueing */
}
