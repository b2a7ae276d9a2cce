/* Whether paho's static library can be wrapped as mqtt_puback.c and mqtt_resolve.c need it: compiled and
 * linked by CMake, never run. */
#include <MQTTAsync.h>
#include <netdb.h>
#include <pthread.h>

extern pthread_mutex_t *mqttasync_mutex;
extern pthread_mutex_t *socket_mutex;
void MQTTAsync_lock_mutex(pthread_mutex_t *mutex);
void MQTTAsync_unlock_mutex(pthread_mutex_t *mutex);
int Socket_noPendingWrites(int socket);
int __real_MQTTPacket_send_puback(int mqtt_version, int packet_id, void *net, const char *client_id);
int __wrap_MQTTPacket_send_puback(int mqtt_version, int packet_id, void *net, const char *client_id);
int __real_MQTTPacket_send_pubrec(int mqtt_version, int packet_id, void *net, const char *client_id);
int __wrap_MQTTPacket_send_pubrec(int mqtt_version, int packet_id, void *net, const char *client_id);
int __real_MQTTPacket_send_pubcomp(int mqtt_version, int packet_id, void *net, const char *client_id);
int __wrap_MQTTPacket_send_pubcomp(int mqtt_version, int packet_id, void *net, const char *client_id);
int __real_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **result);
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **result);

int __wrap_MQTTPacket_send_puback(int mqtt_version, int packet_id, void *net, const char *client_id)
{
    return __real_MQTTPacket_send_puback(mqtt_version, packet_id, net, client_id);
}

int __wrap_MQTTPacket_send_pubrec(int mqtt_version, int packet_id, void *net, const char *client_id)
{
    return __real_MQTTPacket_send_pubrec(mqtt_version, packet_id, net, client_id);
}

int __wrap_MQTTPacket_send_pubcomp(int mqtt_version, int packet_id, void *net, const char *client_id)
{
    return __real_MQTTPacket_send_pubcomp(mqtt_version, packet_id, net, client_id);
}

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **result)
{
    return __real_getaddrinfo(node, service, hints, result);
}

int main(void)
{
    MQTTAsync handle;
    MQTTAsync_lock_mutex(mqttasync_mutex);
    MQTTAsync_unlock_mutex(socket_mutex);
    return MQTTAsync_create(&handle, "tcp://127.0.0.1", "probe", MQTTCLIENT_PERSISTENCE_NONE, NULL) +
           Socket_noPendingWrites(0);
}
