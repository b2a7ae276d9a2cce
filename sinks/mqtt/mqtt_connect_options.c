/* What MQTTAsync_connect is told. */
#include "sinks/mqtt/mqtt_internal.h"
#include <stdio.h>

#define CONNECT_TIMEOUT_S 10

/* In paho's thread, before the first message. */
static void connected(struct mqtt_sink *s, bool is_present)
{
    if (s->spool)
        mqtt_session_connected(&s->session, is_present);
    mutex_lock(&s->lock);
    s->state = MQTT_CONNECTED;
    s->session_present = is_present;
    cond_broadcast(&s->changed);
    mutex_unlock(&s->lock);
}

static void on_success(void *context, MQTTAsync_successData *data)
{
    connected(context, data && data->alt.connect.sessionPresent);
}

static void on_success5(void *context, MQTTAsync_successData5 *data)
{
    connected(context, data && data->alt.connect.sessionPresent);
}

/* answer: the CONNACK's code, 0 if there was none. What is known already (a failed verification) says more
 * than the library's summary. */
static void failed(struct mqtt_sink *s, int answer, int code, const char *message)
{
    const char *words = mqtt_connack_words(s->version, answer);
    mutex_lock(&s->lock);
    s->state = MQTT_FAILED;
    s->was_answered = answer > 0;
    if (words)
        snprintf(s->why, sizeof s->why, "%s (code %d)", words, answer);
    else if (!s->why[0])
        snprintf(s->why, sizeof s->why, "%s (code %d)", message ? message : "no connection", code);
    cond_broadcast(&s->changed);
    mutex_unlock(&s->lock);
}

static void on_failure(void *context, MQTTAsync_failureData *data)
{
    int code = data ? data->code : 0;
    failed(context, code > 0 ? code : 0, code, data ? data->message : NULL);
}

/* paho gives a CONNACK's reason in either field. */
static void on_failure5(void *context, MQTTAsync_failureData5 *data)
{
    int code = data ? data->code : 0, answer = data && data->reasonCode ? (int)data->reasonCode : code;
    const char *name = answer > 0 ? MQTTReasonCode_toString((enum MQTTReasonCodes)answer) : NULL;
    failed(context, answer > 0 ? answer : 0, answer, name ? name : data ? data->message : NULL);
}

static int on_ssl_error(const char *text, size_t len, void *context)
{
    struct mqtt_sink *s = context;
    while (len && (text[len - 1] == '\n' || text[len - 1] == ' '))
        len--;
    mutex_lock(&s->lock);
    if (len && !s->why[0])
        snprintf(s->why, sizeof s->why, "TLS: %.*s", (int)(len < 200 ? len : 200), text);
    mutex_unlock(&s->lock);
    return 0;
}

static void add_property(MQTTProperties *properties, enum MQTTPropertyCodes code, uint32_t value)
{
    MQTTProperty p = {.identifier = code};
    if (code == MQTTPROPERTY_CODE_RECEIVE_MAXIMUM)
        p.value.integer2 = (unsigned short)value;
    else
        p.value.integer4 = value;
    (void)MQTTProperties_add(properties, &p);
}

static void init_tls(struct mqtt_connect_options *o, struct mqtt_sink *s)
{
    o->ssl = (MQTTAsync_SSLOptions)MQTTAsync_SSLOptions_initializer;
    o->ssl.trustStore = s->tls_ca; /* NULL: the system's */
    o->ssl.keyStore = s->tls_cert;
    o->ssl.privateKey = s->tls_key;
    o->ssl.enableServerCertAuth = 1;
    o->ssl.verify = 1; /* the host's name too: paho's default is not to look at it */
    o->ssl.ssl_error_cb = on_ssl_error;
    o->ssl.ssl_error_context = s;
    o->connect.ssl = &o->ssl;
}

void mqtt_connect_options_init(struct mqtt_connect_options *o, struct mqtt_sink *s)
{
    bool has_session = s->client_id[0] && !s->is_throwaway;
    bool is_v5 = s->version == MQTT_VERSION_5;
    *o = (struct mqtt_connect_options){0};
    if (is_v5 && s->url.is_websocket)
        o->connect = (MQTTAsync_connectOptions)MQTTAsync_connectOptions_initializer5_ws;
    else if (is_v5)
        o->connect = (MQTTAsync_connectOptions)MQTTAsync_connectOptions_initializer5;
    else if (s->url.is_websocket)
        o->connect = (MQTTAsync_connectOptions)MQTTAsync_connectOptions_initializer_ws;
    else
        o->connect = (MQTTAsync_connectOptions)MQTTAsync_connectOptions_initializer;
    o->connect.keepAliveInterval = (int)s->keepalive_s;
    o->connect.connectTimeout = CONNECT_TIMEOUT_S;
    o->connect.automaticReconnect = 0;
    o->connect.username = s->username;
    o->connect.password = s->password;
    o->connect.context = s;
    if (is_v5) {
        o->connect.cleanstart = !has_session;
        o->connect.onSuccess5 = on_success5;
        o->connect.onFailure5 = on_failure5;
        if (has_session)
            add_property(&o->properties, MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, s->session_expiry_s);
        add_property(&o->properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, s->receive_maximum);
        add_property(&o->properties, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE, s->max_packet_size);
        o->connect.connectProperties = &o->properties;
    } else {
        o->connect.MQTTVersion = MQTTVERSION_3_1_1;
        o->connect.cleansession = !has_session;
        o->connect.onSuccess = on_success;
        o->connect.onFailure = on_failure;
    }
    if (s->url.is_tls)
        init_tls(o, s);
}

void mqtt_connect_options_release(struct mqtt_connect_options *o)
{
    MQTTProperties_free(&o->properties);
}
