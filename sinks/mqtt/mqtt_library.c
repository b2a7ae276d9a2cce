/*
 * paho's life in this process. The destruction of its last client ends its threads and frees its global
 * state, which doesn't go well with another client being made at the same moment: one that never connects is
 * kept for as long as there is a sink.
 */
#include "sinks/mqtt/mqtt_internal.h"

static struct mutex library_lock = {.native = PTHREAD_MUTEX_INITIALIZER, .rank = RANK_SINK};
static unsigned users;
static MQTTAsync keeper;

void mqtt_library_acquire(void)
{
    mutex_lock(&library_lock);
    if (users++ == 0)
        (void)MQTTAsync_create(&keeper, "tcp://127.0.0.1:1", "varve-keeper", MQTTCLIENT_PERSISTENCE_NONE,
                               NULL);
    mutex_unlock(&library_lock);
}

void mqtt_library_release(void)
{
    mutex_lock(&library_lock);
    if (--users == 0 && keeper)
        MQTTAsync_destroy(&keeper);
    mutex_unlock(&library_lock);
}

const char *mqtt_library_version(void)
{
    const MQTTAsync_nameValue *info = MQTTAsync_getVersionInfo();
    for (; info && info->name; info++) {
        if (strcmp(info->name, "Version") == 0)
            return info->value;
    }
    return "?";
}
