/* FILTER NUL FILTER NUL TOPIC: checks, matches and overlaps agree with each other and never read beyond. Then
 * the first one as a broker's URL. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/mqtt/mqtt_sink.h"
#include "sinks/mqtt/mqtt_topic.h"
#include "sinks/mqtt/mqtt_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void match(const char *filter, struct span topic)
{
    struct mqtt_match m;
    if (!mqtt_filter_match(filter, topic, &m))
        return;
    require(m.captures_count == mqtt_filter_captures(filter));
    for (size_t i = 0; i < m.captures_count; i++)
        require(!memchr(m.captures[i].data, '/', m.captures[i].len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 3);
    memcpy(text, data, size);
    memset(text + size, 0, 3);
    const char *a = text, *b = a + strlen(a) + 1;
    size_t used = (size_t)(b - text);
    if (used > size)
        b = text + size;
    const char *t = b + strlen(b) + 1;
    used = (size_t)(t - text);
    /* A copy without a byte behind it, so that reading beyond is seen. */
    size_t topic_len = used < size ? size - used : 0;
    char *topic = malloc(topic_len ? topic_len : 1);
    memcpy(topic, t, topic_len);
    struct span span = span_of(topic, topic_len);
    struct mqtt_url url;
    if (mqtt_url_parse(a, &url, NULL) == 0)
        require(url.port && url.host[0]);
    if (mqtt_filter_check(a, NULL) == 0 && mqtt_filter_check(b, NULL) == 0) {
        match(a, span);
        match(b, span);
        require(mqtt_filters_overlap(a, b) == mqtt_filters_overlap(b, a));
        require(mqtt_filters_overlap(a, a));
        if (mqtt_filter_match(a, span, NULL) && mqtt_filter_match(b, span, NULL))
            require(mqtt_filters_overlap(a, b));
    }
    free(topic);
    free(text);
    return 0;
}
