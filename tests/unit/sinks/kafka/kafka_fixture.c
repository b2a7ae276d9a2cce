#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/sinks/kafka/kafka_fixture.h"

struct sink *kafka_fixture_new(struct batch_catcher *catcher, unsigned threads)
{
    static const char *const topics[] = {"metrics"};
    const struct kafka_sink_options options = {
        .name = "plant",
        .node = "n1",
        .brokers = "127.0.0.1:1",
        .topics = topics,
        .topics_count = 1,
        .group = "g",
        .decoder = &catcher_decoder,
        .threads = threads,
        .queue_size = 64 << 20,
        .max_message_size = 16 << 20,
    };
    struct sink *sink = NULL;
    struct error error = {0};
    batch_catcher_init(catcher, "store");
    if (kafka_sink_new(&sink, &options, &catcher->intake, &error) < 0)
        fail_msg("%s", error.message);
    return sink;
}
