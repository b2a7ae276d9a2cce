/* Every mistake that a configuration can hold, and the line that says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "src/base/alloc.h"
#include "src/base/buffer.h"

#define STORAGE "storage: {path: /s}\n"
/* One good sink in lines 2 and 3, with more in it. */
#define SINK_WITH(more)                                                                                   \
    STORAGE "sinks:\n- {name: a, type: kafka, brokers: [b], topics: [t], group: g, format: influx, " more \
            "}\n"

/* The file is called t. */
static const struct {
    const char *text;
    const char *errors;
} cases[] = {
    {"", "t:1:1: storage.path: missing; write path: /var/lib/varve\n"},
    {"# nothing\n", "t:1:1: storage.path: missing; write path: /var/lib/varve\n"},
    {"- a\n"
     "- b\n",
     "t:1:1: a list where a mapping belongs; write keys such as storage: and sinks:\n"},
    {"just text\n", "t:1:1: a text where a mapping belongs; write keys such as storage: and sinks:\n"},
    {"storage:\n"
     "\011path: /s\n",
     "t:2:1: not valid YAML: found character that cannot start any token while scanning for the next token; "
     "indent with spaces, not with tabs\n"},
    {"storage: {path: /s\n", "t:2:1: not valid YAML: did not find expected ',' or '}' while parsing a flow "
                             "mapping; close the list with ] or the mapping with }\n"},
    {"storage: {path: \"/s}\n", "t:2:1: not valid YAML: found unexpected end of stream while scanning a "
                                "quoted scalar; close the quotation mark\n"},
    {"storage:\n"
     "  path: /s\n"
     " retention: 1d\n",
     "t:3:2: not valid YAML: did not find expected key while parsing a block mapping; check the indentation "
     "of this line and of the ones above it\n"},
    {"storage: path: /s\n", "t:1:14: not valid YAML: mapping values are not allowed in this context; check "
                            "the indentation, and put \"...\" around a value that contains \": \"\n"},
    {"storage:\n"
     "  path /s\n"
     "  retention: 1d\n",
     "t:3:12: not valid YAML: mapping values are not allowed in this context; check the indentation, and put "
     "\"...\" around a value that contains \": \"\n"},
    {"node: @x\n" STORAGE,
     "t:1:7: not valid YAML: found character that cannot start any token while scanning for the next token; "
     "put \"...\" around a value that starts with this character\n"},
    {"node: %{X}\n" STORAGE, "t:1:7: not valid YAML: found character that cannot start any token while "
                             "scanning for the next token; put \"...\" around the value\n"},
    {STORAGE "---\n"
             "storage: {path: /s}\n",
     "t:2:1: a second document starts here; a configuration is one document\n"},
    {"node: !!str x\n" STORAGE, "t:1:7: tags (!...) are not used here; leave it out\n"},
    {"node: \"a\\0b\"\n" STORAGE, "t:1:7: a zero byte inside a text; leave it out\n"},
    {"node: \"a\\qb\"\n" STORAGE,
     "t:1:9: not valid YAML: found unknown escape character while parsing a quoted scalar; write \\\\ for a "
     "backslash between \"...\", or use '...'\n"},
    {"[a, b]: c\n" STORAGE, "t:1:1: a list or mapping can't be a key; write key: value\n"},
    {"node: *who\n" STORAGE,
     "t:1:7: an alias (*) without its anchor; put &name at the value that is meant, further up\n"},
    {"storage: &s {path: /s, retention: *s}\n",
     "t:1:35: an alias (*) inside the value that it stands for; write the value out\n"},
    {"node: \377\n", "t:1:7: not text in UTF-8: invalid leading UTF-8 octet; save the file as UTF-8\n"},
    {STORAGE "node: \"\001\"\n", "t:2:8: a control character; leave it out\n"},
    {"a: [[[[[[[[[[[[[[[[[[[[", "t:1:19: nested deeper than any key of this configuration (16 levels)\n"},
    {"<<: {node: a}\n" STORAGE, "t:1:1: <<: unknown key; merge keys are not read: write the keys out, or use "
                                "an alias (*name) as a whole value\n"},
    {"stroage: {path: /s}\n", "t:1:1: stroage: unknown key; did you mean storage?\n"
                              "t:1:1: storage.path: missing; write path: /var/lib/varve\n"},
    {STORAGE "node: a\n"
             "node: b\n",
     "t:3:1: node: given twice; keep this one or the one in line 2\n"},
    {"storage: {path: /s, path: /t}\n",
     "t:1:21: storage.path: given twice; keep this one or the one in line 1\n"},
    {"storage: {path: /s, flush_intervall: 5s}\n",
     "t:1:21: storage.flush_intervall: unknown key; did you mean flush_interval?\n"},
    {"storage: {path: /s, listen: x}\n", "t:1:21: storage.listen: unknown key; it belongs below http:\n"},
    {"storage: {path: /s, zzzzzz: 1}\n", "t:1:21: storage.zzzzzz: unknown key; known here: path, retention, "
                                         "flush_interval, dedup_interval, min_free_disk, "
                                         "memory_limit, merge_workers, trust_clock\n"},
    {STORAGE "flush_interval: 5s\n", "t:2:1: flush_interval: unknown key; it belongs below storage:\n"},
    {STORAGE "kafka: {}\n", "t:2:1: kafka: unknown key; it belongs below rejects:\n"},
    {STORAGE "dead: {}\n",
     "t:2:1: dead: unknown key; known here: node, storage, sinks, rejects, http, log\n"},
    {"storage: {path: /s, dedup_interval: 1s, max_daily_series: 5}\n",
     "t:1:41: storage.max_daily_series: not built yet in this version; leave it out\n"},
    {STORAGE "rejects: {kafka: {topic: x}}\n", "t:2:18: rejects.kafka: needs both brokers and topic; write "
                                               "{brokers: [k1:9092], topic: varve-rejects}\n"},
    {"storage: []\n",
     "t:1:10: storage: a list where a mapping belongs; write keys below it, as in storage: {path: ...}\n"},
    {"storage: /s\n",
     "t:1:10: storage: a text where a mapping belongs; write keys below it, as in storage: {path: ...}\n"},
    {STORAGE "sinks: {name: a}\n",
     "t:2:8: sinks: a mapping where a list belongs; start each sink with \"- name: \"\n"},
    {STORAGE "sinks: [a]\n", "t:2:9: sinks[0]: a text where a mapping belongs; write - name: plant, and the "
                             "sink's other keys below\n"},
    {STORAGE "node: [a]\n", "t:2:7: node: a list where a text belongs; write it as in node: edge-1\n"},
    {STORAGE "node: {a: b}\n", "t:2:7: node: a mapping where a text belongs; write it as in node: edge-1\n"},
    {STORAGE "node:\n", "t:2:6: node: has no value; write node: edge-1, or leave the key out\n"},
    {STORAGE "node: ~\n", "t:2:7: node: has no value; write node: edge-1, or leave the key out\n"},
    {"storage: {path: \"\"}\n", "t:1:17: storage.path: is empty; write it as in path: /var/lib/varve\n"},
    {"storage: {path: relative/dir}\n",
     "t:1:17: storage.path: \"relative/dir\" is not an absolute path; start it with /\n"},
    {"storage: {path: /}\n",
     "t:1:17: storage.path: \"/\" is the root of the file system; name a directory of its own\n"},
    {"storage: {path: /a/../b}\n",
     "t:1:17: storage.path: \"/a/../b\" goes through ..; write the directory itself\n"},
    {"storage: {}\n", "t:1:10: storage.path: missing; write path: /var/lib/varve\n"},
    {"node: \"a b\"\n" STORAGE, "t:1:7: node: \"a b\" can't be part of a member id; write 1 to 64 of the "
                                "characters A-Z, a-z, 0-9, . _ -\n"},
    {"node: \"a\\nb\"\n" STORAGE, "t:1:7: node: \"a?b\" holds control characters; leave them out\n"},
    {"storage: {path: /s, retention: 13}\n",
     "t:1:32: storage.retention: \"13\" is a duration without a unit; write a number with a unit: ms, s, m "
     "(minute), h, d, w, M (31 days) or y, as in 5s, 90m or 13M\n"},
    {"storage: {path: /s, retention: 13m}\n",
     "t:1:32: storage.retention: \"13m\" is too small; write 1d to 100y\n"},
    {"storage: {path: /s, retention: 200y}\n",
     "t:1:32: storage.retention: \"200y\" is too large; write 1d to 100y\n"},
    {"storage: {path: /s, retention: 1.5M}\n",
     "t:1:32: storage.retention: \"1.5M\" is a fraction in a duration; write a whole number of a smaller "
     "unit, as in 90m for an hour and a half\n"},
    {"storage: {path: /s, retention: -1d}\n",
     "t:1:32: storage.retention: \"-1d\" is a negative duration; write a number with a unit: ms, s, m "
     "(minute), h, d, w, M (31 days) or y, as in 5s, 90m or 13M\n"},
    {"storage: {path: /s, retention: long}\n",
     "t:1:32: storage.retention: \"long\" is not a duration; write a number with a unit: ms, s, m (minute), "
     "h, d, w, M (31 days) or y, as in 5s, 90m or 13M\n"},
    {"storage: {path: /s, retention: 3q}\n",
     "t:1:32: storage.retention: \"3q\" is a duration with an unknown unit; write a number with a unit: ms, "
     "s, m (minute), h, d, w, M (31 days) or y, as in 5s, 90m or 13M\n"},
    {"storage: {path: /s, retention: 30m1h}\n",
     "t:1:32: storage.retention: \"30m1h\" is a duration with its units out of order; write the largest "
     "first, each once, as in 1h30m\n"},
    {"storage: {path: /s, retention: 99999999999999999999d}\n",
     "t:1:32: storage.retention: \"99999999999999999999d\" is a duration too long to count; at most 292 "
     "million years\n"},
    {"storage: {path: /s, flush_interval: 50ms}\n",
     "t:1:37: storage.flush_interval: \"50ms\" is too small; write 100ms to 1h\n"},
    {"storage: {path: /s, flush_interval: 2h}\n",
     "t:1:37: storage.flush_interval: \"2h\" is too large; write 100ms to 1h\n"},
    {"storage: {path: /s, min_free_disk: 256MBB}\n",
     "t:1:36: storage.min_free_disk: \"256MBB\" is a size with an unknown unit; write bytes or a number with "
     "a unit: KiB, MiB, GiB, TiB (of 1024), KB, MB, GB, TB (of 1000), as in 64MiB\n"},
    {"storage: {path: /s, min_free_disk: 1.5GiB}\n",
     "t:1:36: storage.min_free_disk: \"1.5GiB\" is a fraction in a size; write a whole number of a smaller "
     "unit, as in 1536MiB for one and a half GiB\n"},
    {"storage: {path: /s, min_free_disk: -1}\n",
     "t:1:36: storage.min_free_disk: \"-1\" is a negative size; write bytes or a number with a unit: KiB, "
     "MiB, GiB, TiB (of 1024), KB, MB, GB, TB (of 1000), as in 64MiB\n"},
    {"storage: {path: /s, min_free_disk: 9000000000GiB}\n",
     "t:1:36: storage.min_free_disk: \"9000000000GiB\" is a size too large to count; less than 8388608TiB\n"},
    {"storage: {path: /s, memory_limit: 120%}\n",
     "t:1:35: storage.memory_limit: \"120%\" is not a percentage; write a whole number from 1% to 100%\n"},
    {"storage: {path: /s, memory_limit: most}\n",
     "t:1:35: storage.memory_limit: \"most\" is neither a percentage nor a size; write 60% or 8GiB\n"},
    {"storage: {path: /s, memory_limit: 1MiB}\n",
     "t:1:35: storage.memory_limit: \"1MiB\" is too small; write 64MiB or more\n"},
    {"storage: {path: /s, merge_workers: \"2\"}\n",
     "t:1:36: storage.merge_workers: a text in quotation marks where a whole number belongs; write it as in "
     "merge_workers: 0\n"},
    {"storage: {path: /s, merge_workers: 1000}\n",
     "t:1:36: storage.merge_workers: \"1000\" is too large; write 0 to 256\n"},
    {"storage: {path: /s, merge_workers: -1}\n",
     "t:1:36: storage.merge_workers: \"-1\" is not a whole number; write digits only\n"},
    {"storage: {path: /s, merge_workers: two}\n",
     "t:1:36: storage.merge_workers: \"two\" is not a whole number; write digits only\n"},
    {"storage: {path: /s, trust_clock: yes}\n",
     "t:1:34: storage.trust_clock: \"yes\" is neither true nor false; write true or false\n"},
    {"storage: {path: /s, trust_clock: \"true\"}\n",
     "t:1:34: storage.trust_clock: a text in quotation marks where true or false belongs; write it as in "
     "trust_clock: false\n"},
    {STORAGE "sinks: [{}]\n", "t:2:9: sinks[0].type: missing; write type: kafka or type: mqtt\n"},
    {STORAGE "sinks: [{type: kafka}]\n",
     "t:2:9: sinks[0].name: missing; write name: plant\n"
     "t:2:9: sinks[0].brokers: missing; write brokers: [k1:9092, k2:9092]\n"
     "t:2:9: sinks[0].group: missing; write group: varve-plant\n"
     "t:2:9: sinks[0].format: missing; write format: influx\n"
     "t:2:9: sinks[0].topics: missing; write topics: [metrics], or partitions: {metrics: [0, 1]}\n"},
    {STORAGE "sinks: [{name: e, type: mqtt, broker: x, nonsense: 1}]\n",
     "t:2:9: sinks[0].subscriptions: missing; write subscriptions: [{filter: plants/#, format: json}]\n"
     "t:2:39: sinks[0].broker: \"x\" is not a broker's address; write mqtt://, mqtts://, ws:// or wss:// "
     "before host:port, as in mqtts://edge.example:8883\n"
     "t:2:42: sinks[0].nonsense: unknown key; known here: name, type, broker, client_id, version, keepalive, "
     "receive_maximum, session_expiry, max_packet_size, retained, spool, tls, username, password, "
     "subscriptions\n"},
    {STORAGE "sinks: [{name: e, type: redis}]\n",
     "t:2:25: sinks[0].type: \"redis\" is not known here; write kafka or mqtt\n"},
    {SINK_WITH("labels: [a]"), "t:3:87: sinks[0].labels: a list where a mapping belongs; write it as in "
                               "labels: {site: plant1, topic: \"$topic\"}\n"},
    {SINK_WITH("labels: {a: }"),
     "t:3:91: sinks[0].labels.a: has no value; write one, or leave the label out\n"},
    {SINK_WITH("broker: b"),
     "t:3:79: sinks[0].broker: not a key of this type of sink; did you mean brokers?\n"},
    {SINK_WITH("client_id: b"),
     "t:3:79: sinks[0].client_id: not a key of this type of sink; known here: name, type, brokers, topics, "
     "partitions, group, format, start_from, on_topic_recreated, on_out_of_range, leave_on_stop, "
     "fenced_commits, threads, queue_size, max_message_size, labels, timestamp, precision, json, "
     "librdkafka\n"},
    {SINK_WITH("security.protocol: SSL"),
     "t:3:79: sinks[0].security.protocol: unknown key; properties of librdkafka go below librdkafka:\n"},
    {SINK_WITH("consumer_group: g"), "t:3:79: sinks[0].consumer_group: unknown key; here that is group\n"},
    {SINK_WITH("treads: 2"), "t:3:79: sinks[0].treads: unknown key; did you mean threads?\n"},
    {SINK_WITH("json: {each: $}"), "t:3:85: sinks[0].json: given with format influx, which doesn't look at "
                                   "it; write format: json, or leave it out\n"},
    {SINK_WITH("start_from: 2026-11-01"), "t:3:91: sinks[0].start_from: \"2026-11-01\" is no place to start; "
                                          "write earliest, latest or a time as in 2026-11-01T00:00:00Z\n"},
    {SINK_WITH("on_topic_recreated: latest"),
     "t:3:99: sinks[0].on_topic_recreated: \"latest\" is not known here; write stop or earliest\n"},
    {SINK_WITH("leave_on_stop: 1"),
     "t:3:94: sinks[0].leave_on_stop: \"1\" is neither true nor false; write true or false\n"},
    {SINK_WITH("fenced_commits: true, threads: 2"),
     "t:3:95: sinks[0].fenced_commits: the group decides on a commit as a whole only for one member of it; "
     "write threads: 1\n"},
    {SINK_WITH("fenced_commits: true, librdkafka: {partition.assignment.strategy: cooperative-sticky}"),
     "t:3:95: sinks[0].fenced_commits: a cooperative assignor gives partitions away while others are kept; "
     "leave out partition.assignment.strategy (its default is range), or write range or roundrobin\n"},
    {SINK_WITH("fenced_commits: true, librdkafka: {group.protocol: consumer}"),
     "t:3:95: sinks[0].fenced_commits: works with the classic group protocol only; leave out "
     "group.protocol\n"},
    {STORAGE "sinks:\n"
             "- {name: a, type: kafka, brokers: [b], partitions: {t: [0]}, group: g, format: influx,\n"
             "   fenced_commits: true}\n",
     "t:4:20: sinks[0].fenced_commits: with partitions nobody takes any over; leave it out, or write topics "
     "instead\n"},
    {STORAGE "sinks:\n"
             "- {name: a, type: kafka, brokers: [b], topics: [t], group: g, format: influx,\n"
             "   fenced_commits: true}\n"
             "- {name: b, type: kafka, brokers: [b], topics: [u], group: h, format: influx,\n"
             "   fenced_commits: true}\n",
     "t:6:20: sinks[1].fenced_commits: sinks[0] has it, too: a commit holds the rows of all sinks, and two "
     "groups can't decide on it together; keep one, or give the other a Varve and a store of its own\n"},
    {SINK_WITH("threads: 0"), "t:3:88: sinks[0].threads: \"0\" is too small; write 1 to 64\n"},
    {SINK_WITH("threads: 65"), "t:3:88: sinks[0].threads: \"65\" is too large; write 1 to 64\n"},
    {SINK_WITH("queue_size: 1KiB"),
     "t:3:91: sinks[0].queue_size: \"1KiB\" is too small; write 1MiB to 2047MiB\n"},
    {SINK_WITH("max_message_size: 2GiB"),
     "t:3:97: sinks[0].max_message_size: \"2GiB\" is too large; write 1KiB to 953MiB\n"},
    {SINK_WITH("timestamp: arrival"),
     "t:3:90: sinks[0].timestamp: \"arrival\" is not known here; write payload or record\n"},
    {SINK_WITH("precision: min"),
     "t:3:90: sinks[0].precision: \"min\" is not known here; write auto, ns, us, ms or s\n"},
    {SINK_WITH("partitions: {t: [0]}"), "t:3:91: sinks[0].partitions: given beside topics; keep topics (the "
                                        "group assigns partitions) or partitions (static)\n"},
    {STORAGE "sinks:\n"
             "- {name: A, type: kafka, brokers: [b], topics: [t], group: g, format: otlp}\n",
     "t:3:10: sinks[0].name: \"A\" is no sink's name; write 1 to 64 of the characters a-z, 0-9, _ -\n"
     "t:3:71: sinks[0].format: otlp is not built yet in this version; write influx, "
     "prometheus_remote_write, json, jsonline or value\n"},
    {STORAGE "sinks:\n"
             "- {name: a, type: kafka, brokers: b, topics: t, group: \"\", format: xml}\n",
     "t:3:35: sinks[0].brokers: a text where a list belongs; write it as in brokers: [k1:9092, k2:9092]\n"
     "t:3:46: sinks[0].topics: a text where a list belongs; write it as in topics: [metrics]\n"
     "t:3:56: sinks[0].group: is empty; write it as in group: varve-plant\n"
     "t:3:68: sinks[0].format: \"xml\" is not known here; write influx, "
     "prometheus_remote_write, json, jsonline or value\n"},
    {STORAGE "sinks:\n"
             "- {name: a, type: kafka, brokers: [], topics: [], group: g, format: influx}\n",
     "t:3:35: sinks[0].brokers: the list is empty; write it as in brokers: [k1:9092, k2:9092]\n"
     "t:3:47: sinks[0].topics: the list is empty; write it as in topics: [metrics]\n"},
    {STORAGE "sinks:\n"
             "- {name: a, type: kafka, brokers: [\"b:x\", \"b1,b2\", \"\", ~, \"SSL://k:9092\", \"[::1]:1\", "
             "\"[::1\", \"h:70000\"], topics: [t], group: g, format: influx}\n",
     "t:3:36: sinks[0].brokers[0]: \"b:x\" is not a broker's address; write host:port, one in each item\n"
     "t:3:43: sinks[0].brokers[1]: \"b1,b2\" is not a broker's address; write host:port, one in each item\n"
     "t:3:52: sinks[0].brokers[2]: is empty; write it as in brokers: [k1:9092, k2:9092]\n"
     "t:3:56: sinks[0].brokers[3]: has no value; write it as in brokers: [k1:9092, k2:9092]\n"
     "t:3:86: sinks[0].brokers[6]: \"[::1\" is not a broker's address; write host:port, one in each item\n"
     "t:3:94: sinks[0].brokers[7]: \"h:70000\" is not a broker's address; write host:port, one in each "
     "item\n"},
    {STORAGE "sinks:\n"
             "- {name: a, type: kafka, brokers: [b], topics: [\"a b\", \"^(\", \"..\", t, t, "
             "\"^[[:foo:]]\"], group: g, format: influx}\n",
     "t:3:49: sinks[0].topics[0]: \"a b\" is no topic's name; write 1 to 249 of the characters A-Z, a-z, "
     "0-9, . _ -, or an expression from ^ on\n"
     "t:3:56: sinks[0].topics[1]: \"^(\" is not a POSIX extended regular expression: Unmatched ( or \\(; as "
     "in ^edge\\.(.*)\n"
     "t:3:62: sinks[0].topics[2]: \"..\" is no topic's name; write 1 to 249 of the characters A-Z, a-z, 0-9, "
     ". _ -, or an expression from ^ on\n"
     "t:3:71: sinks[0].topics[4]: \"t\" is listed twice; keep one\n"
     "t:3:74: sinks[0].topics[5]: \"^[[:foo:]]\" is not a POSIX extended regular expression: Invalid "
     "character class name; as in ^edge\\.(.*)\n"},
    {STORAGE "sinks:\n"
             "- {name: a, type: kafka, brokers: [b], group: g, format: influx}\n",
     "t:3:3: sinks[0].topics: missing; write topics: [metrics], or partitions: {metrics: [0, 1]}\n"},
    {STORAGE "sinks:\n"
             "- {name: a, type: kafka, brokers: [b], partitions: {\"^t\": [0], u: [], v: 3, w: [1, 1, x], "
             "\"a b\": [0]}, group: g, format: influx}\n",
     "t:3:53: sinks[0].partitions.^t: \"^t\" is an expression; write a topic's name, for partitions are "
     "listed a topic\n"
     "t:3:67: sinks[0].partitions.u: an empty list where a list of partitions belongs; write it as in "
     "partitions: {metrics: [0, 1]}\n"
     "t:3:74: sinks[0].partitions.v: a text where a list of partitions belongs; write it as in partitions: "
     "{metrics: [0, 1]}\n"
     "t:3:84: sinks[0].partitions.w[1]: partition 1 is given twice; keep one\n"
     "t:3:87: sinks[0].partitions.w[2]: \"x\" is not a whole number; write digits only\n"
     "t:3:91: sinks[0].partitions.a b: \"a b\" is no topic's name; write 1 to 249 of the characters A-Z, "
     "a-z, 0-9, . _ -, or an expression from ^ on\n"},
    {STORAGE "sinks:\n"
             "- {name: a, type: kafka, brokers: [b], partitions: [t], group: g, format: influx}\n",
     "t:3:52: sinks[0].partitions: a list where topics with their partitions belong; write it as in "
     "partitions: {metrics: [0, 1]}\n"},
    {STORAGE "sinks:\n"
             "- {name: a, type: kafka, brokers: [b], topics: [t], group: g, format: influx}\n"
             "- {name: a, type: kafka, brokers: [b], topics: [t], group: g, format: influx}\n",
     "t:4:10: sinks[1].name: \"a\" is the name of sinks[0] too (line 3); give each sink its own\n"
     "t:4:60: sinks[1].group: \"g\" is the group of sinks[0] too (line 3); give each sink its own\n"},
    {SINK_WITH("librdkafka: [a]"), "t:3:91: sinks[0].librdkafka: a list where a mapping belongs; write it as "
                                   "in librdkafka: {security.protocol: SSL}\n"},
    {SINK_WITH(
         "librdkafka: {group.id: x, no.such: 1, client.rack: refused, a.b: [1], c.d: ~, e.f: 1, e.f: 2}"),
     "t:3:102: sinks[0].librdkafka.group.id: Varve sets this property itself: it is the sink's `group`; "
     "leave it out\n"
     "t:3:114: sinks[0].librdkafka.no.such: librdkafka: no.such: No such configuration property: "
     "\"no.such\"; see librdkafka's CONFIGURATION.md\n"
     "t:3:130: sinks[0].librdkafka.client.rack: librdkafka: client.rack: Invalid value \"refused\"; see "
     "librdkafka's CONFIGURATION.md\n"
     "t:3:144: sinks[0].librdkafka.a.b: a list where a text belongs; write it as in a.b: value\n"
     "t:3:154: sinks[0].librdkafka.c.d: has no value; write one, \"\" for an empty one\n"
     "t:3:165: sinks[0].librdkafka.e.f: given twice; keep this one or the one in line 3\n"},
    {SINK_WITH("librdkafka: {ssl.ca.location: /nonexistent/ca.pem}"),
     "t:3:109: sinks[0].librdkafka.ssl.ca.location: /nonexistent/ca.pem can't be read: No such file or "
     "directory; name a file that Varve's user may read\n"},
    {SINK_WITH("librdkafka: {sasl.password: \"%{VARVE_TEST_UNSET}\"}"),
     "t:3:107: sinks[0].librdkafka.sasl.password: the environment variable VARVE_TEST_UNSET isn't set; set "
     "it, or write %%{ for a literal %{\n"},
    {SINK_WITH("librdkafka: {client.rack: \"%{VARVE_TEST_REFUSED}\"}"),
     "t:3:105: sinks[0].librdkafka.client.rack: librdkafka refuses the value, which is a secret; see its "
     "CONFIGURATION.md\n"},
    {"storage: {path: /s, memory_limit: 64MiB}\n"
     "sinks:\n"
     "- {name: a, type: kafka, brokers: [b], topics: [t], group: g, format: influx}\n",
     "t:1:35: storage.memory_limit: 64MiB is no more than the queue_size of all sinks together, 64MiB; raise "
     "it or lower them\n"},
    {"node: \"%{VARVE_TEST_UNSET}\"\n" STORAGE, "t:1:7: node: the environment variable VARVE_TEST_UNSET "
                                                "isn't set; set it, or write %%{ for a literal %{\n"},
    {"node: \"%{file:relative}\"\n" STORAGE,
     "t:1:7: node: a secret's file needs an absolute path; write %{file:/path}\n"},
    {"node: \"%{file:/nonexistent/x}\"\n" STORAGE,
     "t:1:7: node: the secret's file /nonexistent/x can't be read: No such file or directory; create it, "
     "readable for Varve's user\n"},
    {"node: \"%{file:/}\"\n" STORAGE,
     "t:1:7: node: the secret's file / is no regular file; name one that holds the secret\n"},
    {"node: \"%{credential:a/b}\"\n" STORAGE,
     "t:1:7: node: a credential's name is a file name without /; write %{credential:NAME}\n"},
    {"node: \"%{credential:nope}\"\n" STORAGE,
     "t:1:7: node: the secret's file /nonexistent/credentials/nope can't be read: No such file or directory; "
     "create it, readable for Varve's user\n"},
    {"node: \"%{two words}\"\n" STORAGE,
     "t:1:7: node: %{...} names no secret; write %{ENV_VAR}, %{file:/path} or %{credential:NAME}\n"},
    {"node: \"%{OPEN\"\n" STORAGE,
     "t:1:7: node: %{ without its }; write %{ENV_VAR}, or %%{ for a literal %{\n"},
    {"node: x%{HOME}\n" STORAGE, "t:1:7: node: a secret without quotation marks; write \"x%{HOME}\"\n"},
    {"storage: {path: /s, retention: \"%{VARVE_TEST_REFUSED}\"}\n",
     "t:1:32: storage.retention: *** is not a duration; write a number with a unit: ms, s, m (minute), h, d, "
     "w, M (31 days) or y, as in 5s, 90m or 13M\n"},
    {STORAGE "rejects: {path: x}\n",
     "t:2:17: rejects.path: \"x\" is not an absolute path; start it with /\n"},
    {STORAGE "rejects: {path: /s/data}\n", "t:2:17: rejects.path: lies among the store's own files; write a "
                                           "path below /s/varve/, or outside storage.path\n"},
    {STORAGE "rejects: {path: /s/varve/}\n", "t:2:17: rejects.path: lies among the store's own files; write "
                                             "a path below /s/varve/, or outside storage.path\n"},
    {STORAGE "rejects: {max_size: 1}\n",
     "t:2:21: rejects.max_size: \"1\" is too small; write 1MiB or more\n"},
    {STORAGE "http: {listen: 8475}\n",
     "t:2:16: http.listen: \"8475\" has no port from 1 to 65535; write an address and a port, as in "
     "127.0.0.1:8475, [::1]:8475 or, for every interface, 0.0.0.0:8475\n"},
    {STORAGE "http: {listen: \":8475\"}\n",
     "t:2:16: http.listen: \":8475\" is not a numeric address; write an address and a port, as in "
     "127.0.0.1:8475, [::1]:8475 or, for every interface, 0.0.0.0:8475\n"},
    {STORAGE "http: {listen: [127.0.0.1:0, \"localhost:99999\", example.com:80, \"::1:80\", ~]}\n",
     "t:2:17: http.listen[0]: \"127.0.0.1:0\" has no port from 1 to 65535; write an address and a port, as "
     "in 127.0.0.1:8475, [::1]:8475 or, for every interface, 0.0.0.0:8475\n"
     "t:2:30: http.listen[1]: \"localhost:99999\" has no port from 1 to 65535; write an address and a port, "
     "as in 127.0.0.1:8475, [::1]:8475 or, for every interface, 0.0.0.0:8475\n"
     "t:2:49: http.listen[2]: \"example.com:80\" is not a numeric address; write an address and a port, as "
     "in 127.0.0.1:8475, [::1]:8475 or, for every interface, 0.0.0.0:8475\n"
     "t:2:65: http.listen[3]: \"::1:80\" is not a numeric address; write an address and a port, as in "
     "127.0.0.1:8475, [::1]:8475 or, for every interface, 0.0.0.0:8475\n"
     "t:2:75: http.listen[4]: has no value; write an address and a port, as in 127.0.0.1:8475, [::1]:8475 "
     "or, for every interface, 0.0.0.0:8475\n"},
    {STORAGE "http: {listen: {a: b}}\n", "t:2:16: http.listen: a mapping where an address or a list belongs; "
                                         "write it as in listen: 127.0.0.1:8475\n"},
    {STORAGE "http: {listen: [\"127.0.0.1:80\", \"localhost:80\"]}\n",
     "t:2:33: http.listen[1]: is listed twice; keep one\n"},
    {STORAGE "http: {listen:}\n", "t:2:14: not valid YAML: found unexpected ':' while scanning a plain "
                                  "scalar; write one key: value a line, indented with spaces\n"},
    {STORAGE "http: {auth: {username: u}}\n",
     "t:2:25: http.auth: a username without a password; give both or none\n"},
    {STORAGE "http: {auth: {password: p}}\n",
     "t:2:25: http.auth: a password without a username; give both or none\n"},
    {STORAGE "http: {auth: {username: \"a:b\", password: p}}\n",
     "t:2:25: http.auth.username: holds a colon, which HTTP's basic authentication can't carry; leave it "
     "out\n"},
    {STORAGE "log: {level: trace}\n",
     "t:2:14: log.level: \"trace\" is not known here; write error, warning, info or debug\n"},
    {STORAGE "log: {level: [info], format: xml}\n",
     "t:2:14: log.level: a list where a word belongs; write it as in level: info\n"
     "t:2:30: log.format: \"xml\" is not known here; write auto, text or json\n"},
};

/* Stand-ins for librdkafka's judgement. */
static bool property_owned(const char *key, const char **ret_reason)
{
    *ret_reason = "it is the sink's `group`";
    return !strcmp(key, "group.id");
}

static int property_check(const char *key, const char *value, struct error *reterr)
{
    if (!strncmp(key, "no.", 3))
        return error_set(reterr, ERR_INVALID, "librdkafka: %s: No such configuration property: \"%s\"", key,
                         key);
    if (!strcmp(value, "refused"))
        return error_set(reterr, ERR_INVALID, "librdkafka: %s: Invalid value \"%s\"", key, value);
    return 0;
}

static const struct config_hooks hooks = {.kafka_property_owned = property_owned,
                                          .kafka_property_check = property_check};

/* What config_errors_print prints; new string. */
static char *printed(const struct config_errors *errors)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    config_errors_print(errors, f);
    fclose(f);
    return text;
}

static void test_each_mistake_has_its_line(void **state)
{
    (void)state;
    assert_int_equal(setenv("VARVE_TEST_REFUSED", "refused", 1), 0);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "/nonexistent/credentials", 1), 0);
    assert_int_equal(unsetenv("VARVE_TEST_UNSET"), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct config *cfg = NULL;
        struct config_errors errors = {0};
        int r = config_read_text(&cfg, "t", cases[i].text, strlen(cases[i].text), &hooks, &errors);
        char *text = printed(&errors);
        if (r != ERR_INVALID || strcmp(text, cases[i].errors) != 0)
            print_error("case %zu:\n%s\n", i, cases[i].text);
        assert_int_equal(r, ERR_INVALID);
        assert_null(cfg);
        assert_string_equal(text, cases[i].errors);
        free(text);
        config_errors_release(&errors);
    }
}

static void test_secrets_are_in_no_message(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "storage: {path: \"%{VARVE_TEST_SECRET}\", retention: \"%{VARVE_TEST_SECRET}\"}\n",
        "storage: {path: \"/%{VARVE_TEST_SECRET}\", flush_interval: \"%{VARVE_TEST_SECRET}\", memory_limit: "
        "\"%{VARVE_TEST_SECRET}\"}\nrejects: {path: \"/%{VARVE_TEST_SECRET}/x\"}\n",
        STORAGE "node: \"%{VARVE_TEST_SECRET}\"\nlog: {level: \"%{VARVE_TEST_SECRET}\"}\n",
        STORAGE "http: {listen: \"%{VARVE_TEST_SECRET}\"}\n",
        STORAGE "sinks: [{type: \"%{VARVE_TEST_SECRET}\"}]\n",
        STORAGE
        "sinks:\n- {name: \"%{VARVE_TEST_SECRET}\", type: kafka, brokers: [\"%{VARVE_TEST_SECRET}\"], "
        "topics: "
        "[\"%{VARVE_TEST_SECRET}\", \"%{VARVE_TEST_SECRET}\", \"^(%{VARVE_TEST_SECRET}\"], group: g, format: "
        "\"%{VARVE_TEST_SECRET}\", start_from: \"%{VARVE_TEST_SECRET}\", threads: \"%{VARVE_TEST_SECRET}\", "
        "librdkafka: {ssl.ca.location: \"%{VARVE_TEST_SECRET}\"}}\n",
    };
    assert_int_equal(setenv("VARVE_TEST_SECRET", "xyz zy$", 1), 0);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct config *cfg = NULL;
        struct config_errors errors = {0};
        assert_int_equal(config_read_text(&cfg, "t", texts[i], strlen(texts[i]), &hooks, &errors),
                         ERR_INVALID);
        char *text = printed(&errors);
        if (strstr(text, "xyz"))
            print_error("%s\n", text);
        assert_null(strstr(text, "xyz"));
        free(text);
        config_errors_release(&errors);
    }
}

static void test_twenty_errors_are_shown_and_the_rest_counted(void **state)
{
    (void)state;
    struct buffer yaml = {0};
    struct config *cfg = NULL;
    struct config_errors errors = {0};
    buffer_append_str(&yaml, STORAGE);
    for (int i = 0; i < 25; i++)
        buffer_printf(&yaml, "strange%d: 1\n", i);
    assert_int_equal(config_read_text(&cfg, "t", (const char *)yaml.data, yaml.len, NULL, &errors),
                     ERR_INVALID);
    assert_int_equal(errors.count, CONFIG_ERRORS_MAX);
    assert_int_equal(errors.left_out_count, 5);
    assert_int_equal(errors.items[0].line, 2);
    assert_int_equal(errors.items[19].line, 21);
    char *text = printed(&errors);
    assert_non_null(strstr(text, "5 more errors are not shown\n"));
    free(text);
    config_errors_release(&errors);
    buffer_release(&yaml);
}

static void test_long_and_odd_texts_are_cut_in_messages(void **state)
{
    (void)state;
    struct buffer yaml = {0};
    struct config *cfg = NULL;
    struct config_errors errors = {0};
    buffer_append_str(&yaml, STORAGE "log: {level: \"");
    for (int i = 0; i < 50000; i++)
        buffer_append_str(&yaml, "\xc3\xa4");
    buffer_append_str(&yaml, "\"}\n");
    assert_int_equal(config_read_text(&cfg, "t", (const char *)yaml.data, yaml.len, NULL, &errors),
                     ERR_INVALID);
    assert_int_equal(errors.count, 1);
    assert_true(strlen(errors.items[0].text) < 200);
    config_errors_release(&errors);

    /* A path is shown whole. */
    static const char path[] =
        "/nonexistent/012345678901234567890123456789012345678901234567890123456789/0123456789/ca.pem";
    buffer_clear(&yaml);
    buffer_printf(&yaml, SINK_WITH("librdkafka: {ssl.ca.location: %s}"), path);
    assert_int_equal(config_read_text(&cfg, "t", (const char *)yaml.data, yaml.len, NULL, &errors),
                     ERR_INVALID);
    assert_non_null(strstr(errors.items[0].text, path));
    config_errors_release(&errors);
    buffer_release(&yaml);

    /* Bytes of a secret's file or variable needn't be UTF-8. */
    char *bytes = xmalloc(501);
    memset(bytes, 0x80, 500);
    bytes[500] = '\0';
    assert_int_equal(setenv("VARVE_TEST_BYTES", bytes, 1), 0);
    free(bytes);
    static const char text[] = STORAGE "rejects: {path: \"%{VARVE_TEST_BYTES}\"}\n";
    assert_int_equal(config_read_text(&cfg, "t", text, strlen(text), NULL, &errors), ERR_INVALID);
    config_errors_release(&errors);
}

static void test_files_that_cannot_be_read(void **state)
{
    (void)state;
    struct config *cfg = NULL;
    struct config_errors errors = {0};
    assert_int_equal(config_read_file(&cfg, "/nonexistent/varve.yaml", NULL, &errors), ERR_NOT_FOUND);
    assert_string_equal(errors.items[0].text,
                        "/nonexistent/varve.yaml: can't be read: No such file or directory; name "
                        "the configuration with -c FILE");
    config_errors_release(&errors);
    assert_int_equal(config_read_file(&cfg, "/", NULL, &errors), ERR_IO);
    assert_string_equal(errors.items[0].text,
                        "/: can't be read: Is a directory; name the configuration with -c FILE");
    config_errors_release(&errors);
    assert_int_equal(config_read_file(&cfg, "/dev/zero", NULL, &errors), ERR_INVALID);
    assert_string_equal(errors.items[0].text, "/dev/zero: larger than 1 MiB; a configuration is a few KiB");
    config_errors_release(&errors);
    assert_null(cfg);
}

/* Takes every sink but those with "bad" in the group's name. */
static int sink_check(const struct config *cfg, const struct config_sink *sink, struct error *reterr)
{
    assert_non_null(cfg->node);
    return strstr(sink->group, "bad") ? error_set(reterr, ERR_INVALID, "librdkafka: no %s", sink->group) : 0;
}

static void test_the_library_judges_sinks_as_a_whole(void **state)
{
    (void)state;
    static const struct config_hooks with_sinks = {.sink_check = sink_check};
    static const char text[] =
        STORAGE "sinks:\n"
                "- {name: a, type: kafka, brokers: [b], topics: [t], group: good, format: influx}\n"
                "- {name: b, type: kafka, brokers: [b], topics: [t], group: bad, format: influx}\n"
                "- {name: c, type: kafka, brokers: [b], topics: [t], group: \"%{VARVE_TEST_GROUP}\", format: "
                "influx}\n";
    struct config *cfg = NULL;
    struct config_errors errors = {0};
    assert_int_equal(setenv("VARVE_TEST_GROUP", "bad secret", 1), 0);
    assert_int_equal(config_read_text(&cfg, "t", text, strlen(text), &with_sinks, &errors), ERR_INVALID);
    char *shown = printed(&errors);
    assert_string_equal(
        shown, "t:4:3: sinks[1]: librdkafka: no bad; see its librdkafka properties\n"
               "t:5:3: sinks[2]: the broker's library refuses it, in words that hold a secret; see its "
               "librdkafka properties\n");
    free(shown);
    config_errors_release(&errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_mistake_has_its_line),
        cmocka_unit_test(test_secrets_are_in_no_message),
        cmocka_unit_test(test_twenty_errors_are_shown_and_the_rest_counted),
        cmocka_unit_test(test_long_and_odd_texts_are_cut_in_messages),
        cmocka_unit_test(test_files_that_cannot_be_read),
        cmocka_unit_test(test_the_library_judges_sinks_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
