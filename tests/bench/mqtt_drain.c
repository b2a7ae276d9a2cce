/*
 * The MQTT benchmark's peer: a bare MQTTAsync subscriber that counts messages and writes nothing.
 *
 *   mqtt_drain URI CLIENT-ID FILTER MESSAGES RECEIVE-MAXIMUM
 *
 * Connects with MQTT 5 and a session that stays, subscribes FILTER with QoS 1, and waits for so many
 * messages; with 0 it only leaves the session behind. Prints the number of messages after the first, and the
 * seconds from the first to the last. Exit 1 if the connection is refused or lost.
 */
#include <MQTTAsync.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONNECT_TIMEOUT_S 30
#define SESSION_EXPIRY_S  86400

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int answers;      /* CONNACK, SUBACK */
static const char *lost; /* why it can't go on */
static int has_all;
/* The receive thread's. */
static long wanted, received;
static double begin, end;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void set(int *what, int value, const char *why)
{
    pthread_mutex_lock(&lock);
    if (what)
        *what = value;
    else
        lost = why;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void wait_for(const int *what, int value)
{
    pthread_mutex_lock(&lock);
    while (*what < value && !lost)
        pthread_cond_wait(&changed, &lock);
    if (lost) {
        fprintf(stderr, "mqtt_drain: %s after %ld messages\n", lost, received);
        exit(1);
    }
    pthread_mutex_unlock(&lock);
}

static int on_message(void *context, char *topic, int topic_len, MQTTAsync_message *message)
{
    (void)context;
    (void)topic_len;
    if (received++ == 0)
        begin = now();
    if (received == wanted) {
        end = now();
        set(&has_all, 1, NULL);
    }
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static void on_lost(void *context, char *cause)
{
    (void)context;
    (void)cause;
    set(NULL, 0, "the connection was lost");
}

static void on_connected(void *context, MQTTAsync_successData5 *data)
{
    (void)context;
    (void)data;
    set(&answers, 1, NULL);
}

static void on_subscribed(void *context, MQTTAsync_successData5 *data)
{
    (void)context;
    (void)data;
    set(&answers, 2, NULL);
}

static void on_disconnected(void *context, MQTTAsync_successData5 *data)
{
    (void)context;
    (void)data;
    set(&answers, 3, NULL);
}

static void on_failure(void *context, MQTTAsync_failureData5 *data)
{
    (void)context;
    set(NULL, 0, data && data->message ? data->message : "the broker refuses");
}

static void check(int rc, const char *what)
{
    if (rc == MQTTASYNC_SUCCESS)
        return;
    fprintf(stderr, "mqtt_drain: %s: %s\n", what, MQTTAsync_strerror(rc));
    exit(1);
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: mqtt_drain URI CLIENT-ID FILTER MESSAGES RECEIVE-MAXIMUM\n");
        return 64;
    }
    wanted = atol(argv[4]);
    MQTTAsync client;
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer5;
    check(MQTTAsync_createWithOptions(&client, argv[1], argv[2], MQTTCLIENT_PERSISTENCE_NONE, NULL, &create),
          "create");
    check(MQTTAsync_setCallbacks(client, NULL, on_lost, on_message, NULL), "callbacks");

    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL},
                 window = {.identifier = MQTTPROPERTY_CODE_RECEIVE_MAXIMUM};
    expiry.value.integer4 = SESSION_EXPIRY_S;
    window.value.integer2 = (unsigned short)atoi(argv[5]);
    MQTTProperties_add(&properties, &expiry);
    MQTTProperties_add(&properties, &window);
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer5;
    options.connectTimeout = CONNECT_TIMEOUT_S;
    options.cleanstart = 0;
    options.connectProperties = &properties;
    options.onSuccess5 = on_connected;
    options.onFailure5 = on_failure;
    check(MQTTAsync_connect(client, &options), "connect");
    wait_for(&answers, 1);

    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.onSuccess5 = on_subscribed;
    response.onFailure5 = on_failure;
    check(MQTTAsync_subscribe(client, argv[3], 1, &response), "subscribe");
    wait_for(&answers, 2);
    if (wanted) {
        wait_for(&has_all, 1);
        printf("%ld %.6f\n", received - 1, end - begin);
    }
    MQTTAsync_disconnectOptions disconnect = MQTTAsync_disconnectOptions_initializer5;
    disconnect.timeout = 5000; /* the last PUBACKs go out before it */
    disconnect.onSuccess5 = on_disconnected;
    disconnect.onFailure5 = on_failure;
    check(MQTTAsync_disconnect(client, &disconnect), "disconnect");
    wait_for(&answers, 3);
    MQTTAsync_destroy(&client);
    MQTTProperties_free(&properties);
    return 0;
}
