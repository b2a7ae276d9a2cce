#include "sinks/decode/decode.h"

#include <string.h>

#include "sinks/decode/influx.h"
#include "sinks/decode/json.h"
#include "sinks/decode/jsonline.h"
#include "sinks/decode/remote_write.h"
#include "sinks/decode/value.h"

static enum decode_result decode_influx(const struct decode_options *options, const struct message *m,
                                        struct sample_batch *batch, const char **ret_reason)
{
    return influx_decode(options, m->payload, batch, ret_reason);
}

static int labels_influx(const struct decode_options *options, struct span key, struct span field,
                         struct label_list *ret_labels, const char **ret_reason)
{
    (void)options;
    return influx_labels(key, field, ret_labels, ret_reason);
}

static bool always(const struct decode_options *options)
{
    (void)options;
    return true;
}

static const struct decoder decoders[] = {
    {.name = "influx",
     .decode = decode_influx,
     .labels = labels_influx,
     .name_is_apart = true,
     .line_stands_alone = always},
    {.name = "prometheus_remote_write", .decode = remote_write_decode, .labels = remote_write_labels},
    {.name = "json",
     .decode = json_decode,
     .labels = json_labels,
     .line_stands_alone = json_item_stands_alone},
    {.name = "jsonline", .decode = jsonline_decode, .labels = jsonline_labels, .line_stands_alone = always},
    {.name = "value", .decode = value_decode, .labels = value_labels},
};

const char *const decoder_names_known[] = {
    "influx",     "prometheus_remote_write",
    "prometheus", "json",
    "jsonline",   "value",
    "graphite",   "opentsdb",
    "csv",        "sparkplug_b",
    "otlp",       NULL,
};

const struct decoder *decoder_find(const char *name)
{
    for (size_t i = 0; i < sizeof decoders / sizeof decoders[0]; i++)
        if (strcmp(decoders[i].name, name) == 0)
            return &decoders[i];
    return NULL;
}
