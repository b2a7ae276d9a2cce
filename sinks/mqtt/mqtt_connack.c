/* What a CONNACK's code means to a person. MQTT 3.1.1 section 3.2.2.3, MQTT 5 section 3.2.2.2. */
#include "sinks/mqtt/mqtt_internal.h"

const char *mqtt_connack_words(enum mqtt_version version, int code)
{
    static const struct {
        int v311, v5;
        const char *words;
    } answers[] = {
        {1, 0x84, "the broker doesn't speak this version of MQTT: set `version` to the other one"},
        {2, 0x85, "the broker refuses this client_id"},
        {3, 0x88, "the broker says that it isn't available"},
        {4, 0x86, "the broker refuses username and password"},
        {5, 0x87,
         "the broker doesn't authorise us: are username and password (or the client certificate) right, "
         "and may they use this client_id?"},
        {-1, 0x89, "the broker is busy"},
        {-1, 0x8a, "the broker has banned this client"},
        {-1, 0x8c, "the broker wants another authentication method"},
        {-1, 0x95, "the broker finds our CONNECT too large: are client_id, username and password?"},
        {-1, 0x97, "a quota at the broker is used up"},
        {-1, 0x9c, "the broker sends us to another server for now: set `broker` to it"},
        {-1, 0x9d, "the broker sends us to another server for good: set `broker` to it"},
        {-1, 0x9f, "the broker has too many connections a second"},
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        if (code > 0 && code == (version == MQTT_VERSION_5 ? answers[i].v5 : answers[i].v311))
            return answers[i].words;
    }
    return NULL;
}
