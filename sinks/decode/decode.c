#include "sinks/decode/decode.h"

#include <string.h>

#include "sinks/decode/influx.h"

static const struct decoder decoders[] = {
    {.name = "influx", .decode = influx_decode, .labels = influx_labels},
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
