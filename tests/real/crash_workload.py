"""What crash_states.py puts into a store: numbered messages of each source, each with a row in two months, some of them no messages at all."""
import collections
import json

# 2025-10-01T00:00:00Z; message n has its rows so many seconds before it and behind it.
MONTH_END_MS = 1_759_276_800_000
PARTITIONS = 2
SINKS = KAFKA, MQTT = 'plant', 'field'          # their names
BAD_EVERY = 5

# How many messages there are of each source: Kafka's partitions, then MQTT.
Counts = collections.namedtuple('Counts', [*('partition%d' % p for p in range(PARTITIONS)), 'mqtt'])
NONE = Counts(*[0] * len(Counts._fields))


def plus(a, b):
    return Counts(*(x + y for x, y in zip(a, b)))


def source_of(kind, n):
    """Label s of the messages' series: MQTT's come over two topics."""
    return 'topic%d' % (n % 2) if kind == 'mqtt' else kind


def is_bad(n):
    return n % BAD_EVERY == 3


def rows_of(kind, n):
    """[(timestamp, value)] in the earlier month and in the later one."""
    return [] if is_bad(n) else [(MONTH_END_MS - (n + 1) * 1000, n), (MONTH_END_MS + n * 1000, n)]


def payload(kind, n):
    if is_bad(n):
        return b'no,s=%s v=%d line' % (kind.encode(), n)
    return b'\n'.join(b'crash,s=%s v=%d %d000000' % (source_of(kind, n).encode(), v, t) for t, v in rows_of(kind, n))


def topic(run, n):
    return '%s/%s' % (run, source_of('mqtt', n))


def all_rows(counts):
    """{(series, timestamp, value)} of the first so many messages."""
    return {(json.dumps({'__name__': 'crash_v', 's': source_of(kind, n)}, sort_keys=True), t, v)
            for kind, count in counts._asdict().items() for n in range(count) for t, v in rows_of(kind, n)}


def all_bad(counts):
    return sorted(payload(kind, n) for kind, count in counts._asdict().items() for n in range(count) if is_bad(n))


def counts_of(positions):
    """{key: next} of a store -> (Counts, id of the spool that it reads or None)"""
    found, spool = dict.fromkeys(Counts._fields, 0), None
    for key, n in positions.items():
        sink, kind, *more = key.split('/')
        if (sink, kind) == (KAFKA, 'kafka'):
            found['partition%s' % more[2]] = n
        elif (sink, kind) == (MQTT, 'mqtt') and spool is None:
            found['mqtt'], spool = n - 1, more[0]
        else:
            raise ValueError('a position of an unknown source: %s' % key)
    return Counts(**found), spool
