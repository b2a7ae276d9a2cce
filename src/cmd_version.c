#include <librdkafka/rdkafka.h>
#include <microhttpd.h>
#include <stdio.h>
#include <yaml.h>
#include <zstd.h>

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "build_info.h"
#include "sinks/decode/decode.h"
#include "sinks/mqtt/mqtt_sink.h"
#include "src/commands.h"

static const char help[] =
    "Usage: varve version\n"
    "\n"
    "Prints the version, the versions of libraries, and what is built in and what isn't.\n";

static void print_formats(void)
{
    fputs("formats:", stdout);
    for (size_t i = 0; decoder_names_known[i]; i++) {
        if (decoder_find(decoder_names_known[i]))
            printf(" %s", decoder_names_known[i]);
    }
    fputs("\nformats not built:", stdout);
    for (size_t i = 0; decoder_names_known[i]; i++) {
        if (!decoder_find(decoder_names_known[i]))
            printf(" %s", decoder_names_known[i]);
    }
    fputs("\n", stdout);
}

int cmd_version(int argc, char **argv)
{
    int exit_code, yaml_major, yaml_minor, yaml_patch;
    if (!command_positions(argc, argv, 0, 0, help, &exit_code))
        return exit_code;
    yaml_get_version(&yaml_major, &yaml_minor, &yaml_patch);
    unsigned xxhash = XXH_versionNumber();
    printf("varve %s (git %s)\n", VARVE_VERSION, VARVE_GIT_COMMIT);
    printf("libraries: librdkafka %s, zstd %s, libyaml %d.%d.%d, libmicrohttpd %s, xxHash %u.%u.%u\n",
           rd_kafka_version_str(), ZSTD_versionString(), yaml_major, yaml_minor, yaml_patch,
           MHD_get_version(), xxhash / 10000, xxhash / 100 % 100, xxhash % 100);
    puts("sinks: kafka, mqtt");
    printf("mqtt: paho %s, %s\n", mqtt_library_version(), mqtt_puback_mode());
    print_formats();
    puts("store: VictoriaMetrics single-node, index per month (as of v1.133 and later)");
#ifdef VARVE_FAULT_POINTS
    puts("fault points: built in; not for production");
#endif
    puts("not covered: detaching parts; exactly once across two stores in one consumer group that share a\n"
         "  partition whose node is killed or hangs");
    return command_end_output(argv[0]);
}
