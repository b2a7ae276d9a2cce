"""The messages of formats.py: of each format what it can say, in every compression, and what it refuses."""
import datetime
import functools
import json

from harness import remote_write as rw
from harness.compression import PACKINGS, snappy_block
from formats_mapping import Mapping, value_of


@functools.cache
def bomb(packing):
    """What unpacks to more than the 64 MiB that a message may."""
    return PACKINGS[packing](bytes(65 << 20))


class Message:
    """One message, and what is to come of it.

    packing       a name of harness.compression.PACKINGS
    place         index into the places (topics) of its case
    plain         False: no key and no headers
    rejects       (reason, number of the line or 0, bytes that are kept or None: the payload)
    dropped       {reason: rows} of varve_rows_dropped_total
    stock         what a stock server has to get to store the same rows: None is the body, b'' nothing
    rows          what is stored where no stock server says so: (labels, time in ms or None: the message's own, value)
    """

    def __init__(self, body, packing='plain', place=0, plain=False, key=None, rejects=(), dropped=None, stock=None, rows=()):
        self.body, self.place, self.plain, self.key = body, place, plain, key
        self.payload = PACKINGS[packing](body)
        self.rejects, self.dropped, self.rows = list(rejects), dropped or {}, list(rows)
        self.stock = body if stock is None else stock


class Case:
    """One source: a Kafka sink, or a subscription of an MQTT sink."""

    def __init__(self, name, form, make, options=None, labels=None, retained=False):
        """make(t): the messages; t: Times. labels: beside those that every source has. retained: MQTT messages that are there before Varve is."""
        self.name, self.form, self.make, self.options, self.labels, self.retained = name, form, make, options or {}, labels or {}, retained


class Times:
    """Distinct times in ms, in order, around `base`; extras: how many labels the configuration adds to a message with key and header."""

    def __init__(self, base, extras, record_ms):
        self.next, self.extras, self.record_ms = base, extras, record_ms

    def __call__(self):
        self.next += 977
        return self.next


def refused(payload, reason, packing='plain', **more):
    """A message that is rejected as a whole."""
    return Message(payload, packing, rejects=[(reason, 0, None)], stock=b'', **more)


def broken(good):
    """Compressed payloads that can't be unpacked, of any format; the last one is for all those that have no other place."""
    out = []
    for name in ('gzip', 'zstd', 'lz4', 'snappy framed', 'snappy xerial'):
        m = refused(b'', 'bad_compression')
        m.payload = PACKINGS[name](good)[:-9]
        out.append(m)
    return out


# ------------------------------------------------------------------ influx

def influx_line(tags, fields, when):
    return b'm' + b''.join(b',%s=%s' % (k.encode(), v.replace(' ', '\\ ').encode()) for k, v in tags) + b' ' + fields + (b' %d' % when if when is not None else b'')


def influx(t):
    def lines(count, unit=10 ** 6, name=b'all'):
        return b'\n'.join(b'cpu,host=h%d,dup=payload,size=me\\ dium,of=%s load=%d.5,ticks=%di,up=%s,text="x, y=1",u=7u %d' %
                          (i % 3, name, i, i * 100, b'true' if i % 2 else b'F', t() * unit) for i in range(count)) + b'\n'
    out = [Message(lines(2500 if p == 'snappy framed' else 20, name=p.replace(' ', '\\ ').encode()), p, place=n % 3, plain=n % 4 == 3)
           for n, p in enumerate(PACKINGS)]
    out += [Message(lines(3, 10 ** 3, b'us')), Message(lines(3, 1, b'ms')), Message(b's,of=s v=1 %d\r\n\r\n# comment\ns,of=s v=2 %d' % (t() // 1000, t() // 1000 + 1))]
    out.append(Message('größe,ort=Süd,漢=字\\,\\= wert=1.25,"q"=3 {0}\nnames,__name__=tag v=1 {0}'.format(t() * 10 ** 6).encode()))
    for n, fields in enumerate((b'v=1', b'v=2.5,w=3i')):        # without a time
        line = b'untimed,loose=yes,n=%d %s' % (n, fields)
        out.append(Message(line, 'zstd' if n else 'plain', place=n, stock=line + b' %d' % (t.record_ms(len(out)) * 10 ** 6)))
    for total in (40, 41):      # tags and added labels; the name doesn't count
        tags = [('l%02d' % i, 'x') for i in range(total - t.extras - 1)] + [('dup', 'counts as well')]
        out.append(Message(influx_line(tags[:-1], b'v=%d' % total, t() * 10 ** 6), dropped={'too_many_labels': 1} if total - 1 > 40 else {}))
        out.append(Message(influx_line(tags, b'v=%d,w=1' % total, t() * 10 ** 6), dropped={'too_many_labels': 2} if total > 40 else {}))
    for long in (0, 1):
        when = t() * 10 ** 6
        out += [Message(influx_line([('n' * (256 + long), 'x')], b'v=1', when), dropped={'too_long_label_name': 1} if long else {}),
                Message(influx_line([('a', 'v' * (4096 + long))], b'v=1', when), dropped={'too_long_label_value': 1} if long else {}),
                Message(influx_line([('long', 'yes')], b'f' * (4094 + long) + b'=1,g=2', when), dropped={'too_long_label_value': 1} if long else {})]
    out.append(Message(influx_line([('k', 'long key')], b'v=1', t() * 10 ** 6), key=b'k' * 5000, dropped={'too_long_label_value': 1}))
    out.append(Message(b'm v="abc",w="NaN",x=1 %d' % (t() * 10 ** 6), dropped={'nan': 1}))
    out.append(Message(b'old v=1 3600\nm,after=old v=1 %d' % (t() * 10 ** 6), dropped={'too_old': 1}))
    good = influx_line([('beside', 'bad')], b'v=1', t() * 10 ** 6)
    out.append(Message(b'\n'.join([b'bad line one', good, b'cpu,host=a', good.replace(b'=1 ', b'=2 '), b'm v=1 x', b'm v=3x9i 5']), 'lz4', rejects=[
        ('missing_field_value', 1, b'bad line one'), ('missing_fields', 3, b'cpu,host=a'), ('bad_timestamp', 5, b'm v=1 x'), ('bad_integer', 6, b'm v=3x9i 5')]))
    out += [refused(b'this is no influx line', 'missing_field_value'), refused(bytes(b for b in range(256) if b not in b' \n') * 40, 'missing_fields'),
            refused(bomb('zstd'), 'unpacked_too_large'), refused(bomb('gzip'), 'unpacked_too_large'), Message(b'')]
    return out + broken(lines(20)) + [Message(lines(2, name=b'last'))]


def influx_precision(unit):
    def make(t):
        # numbers that `auto` would take for the next larger unit: they are of 1972
        odd = {'ns': 9 * 10 ** 16, 'us': 9 * 10 ** 13, 'ms': 9 * 10 ** 10, 's': 9 * 10 ** 7}[unit]
        per_ms = {'ns': 10 ** 6, 'us': 10 ** 3, 'ms': 1}.get(unit)
        now = [t() * per_ms + i if per_ms else t() // 1000 + i for i in range(3)]
        return [Message(b'\n'.join(b'p,n=%d v=%d %d' % (n, n, when) for n, when in enumerate([*now, odd])), 'gzip')]
    return make


def influx_record(t):
    out = []
    for n in range(4):
        when = t()
        def lines(ms):
            return b'r,loose=yes,n=%d v=%d,w=1 %d\nr,loose=yes,other=%d v=%d %d' % (n, n, ms * 10 ** 6, n, n + 10, ms * 10 ** 6)
        out.append(Message(lines(when), list(PACKINGS)[n], place=n % 2, stock=lines(t.record_ms(n))))
    return out


def influx_named(t):
    return [Message(b'm,job=payload,Job=Payload,__name__=tag,instance=i v=1 %d\nm,Job=first,job=second v=2 %d' % (t() * 10 ** 6, t() * 10 ** 6))]


def influx_retained(t):
    """Of retained messages, samples with a time of their own are kept."""
    timed = b'kept v=1 %d' % (t() * 10 ** 6)
    return [Message(b'untimed v=1\n' + timed, stock=timed), Message(b'untimed v=2', 'gzip', place=1, stock=b''), Message(b'kept v=3 %d' % (t() * 10 ** 6), 'zstd', place=2)]


def influx_retained_record(t):
    """None, where their own time isn't asked for."""
    return [Message(b'kept v=1 %d' % (t() * 10 ** 6), stock=b'')]


# ------------------------------------------------------------------ remote write

def remote_write_message(body, packing='snappy', **more):
    """packing 'snappy': a block, as the protocol wants it; else the bare request in another one, or 'gzip snappy': a block in gzip."""
    block = snappy_block(body)
    if packing == 'snappy':
        m = Message(block, **more)
    elif packing == 'gzip snappy':
        m = Message(block, 'gzip', **more)
    else:
        m = Message(body, packing, **more)
    m.stock = block if 'stock' not in more else more['stock']
    return m


def remote_write(t):
    def request(name, count=20):
        return b''.join(rw.series([('__name__', 'up'), ('instance', 'i%d' % i), ('job', 'node'), ('of', name), ('dup', 'payload')],
                                  rw.sample(i + 0.5, t()), rw.sample(float(i), t())) for i in range(count))
    packings = ['snappy', 'gzip snappy', *PACKINGS]
    out = [remote_write_message(request(p, 900 if p == 'snappy framed' else 20), p, place=n % 3, plain=n % 4 == 3) for n, p in enumerate(packings)]
    odd = rw.series([('__name__', 'stale')], rw.sample(1.0, t()), rw.sample(rw.STALE, t()), rw.sample(2.0, t()))
    odd += rw.series([('__name__', 'nan')], rw.sample(float('nan'), t()), rw.sample(3.0, t()))
    odd += rw.series([('__name__', 'inf')], rw.sample(float('inf'), t())) + rw.series([('__name__', 'inf'), ('sign', '-')], rw.sample(float('-inf'), t()))
    out.append(remote_write_message(odd, dropped={'nan': 1}))
    out.append(remote_write_message(rw.series([('__name__', 'size')], rw.histogram(t(), 12, 18.25, 1, -2, [3, 1, -2, 2, 0, 1], (0.001, 2)))
                                    + rw.series([('__name__', 'size'), ('empty', '')], rw.histogram(t(), 0, 0.0, 0, 0, []))))
    out.append(remote_write_message(rw.metadata('up', 'Whether it is up') + rw.metadata('size', 'x' * 1000)))
    out.append(remote_write_message(rw.series([('__name__', 'with_exemplar'), ('größe', '漢字 "\\\n')], rw.sample(1.0, t()), rw.exemplar(0.5, t(), trace='abc'))
                                    + rw.metadata('with_exemplar', 'h') + rw.series([('__name__', 'only_exemplar')], rw.exemplar(0.5, t(), trace='abc'))))
    out.append(remote_write_message(rw.series([('', 'empty_name'), ('a', 'x'), ('b', '')], rw.sample(4.0, t())) + rw.series([('no', 'name')], rw.sample(5.0, t()))
                                    + rw.series([('__name__', 'old')], b'\x12\x09' + rw.double(1, 1.0)), dropped={'too_old': 1}))
    for total in (40, 41):      # the name counts
        pairs = [('__name__', 'many')] + [('l%02d' % i, 'x') for i in range(total - t.extras - 2)] + [('dup', 'counts as well')]
        out.append(remote_write_message(rw.series(pairs[:-1], rw.sample(1.0, t())) + rw.series(pairs, rw.sample(2.0, t()), rw.sample(3.0, t())),
                                        dropped={'too_many_labels': 2} if total > 40 else {}))
    for long in (0, 1):
        out.append(remote_write_message(rw.series([('__name__', 'l'), ('n' * (256 + long), 'x')], rw.sample(1.0, t()))
                                        + rw.series([('__name__', 'l'), ('a', 'v' * (4096 + long))], rw.sample(1.0, t()))
                                        + rw.series([('__name__', 'n' * (4096 + long))], rw.sample(1.0, t())),
                                        dropped={'too_long_label_name': 1, 'too_long_label_value': 2} if long else {}))
    cut = snappy_block(request('cut'))[:-5]
    mixed = rw.series([('__name__', 'mixed')], rw.sample(1.0, t()), rw.histogram(t(), 1, 1.0, 0, 0, [1]))
    out += [refused(b'\xff\xff no remote write', 'bad_snappy'), refused(cut, 'bad_snappy'), refused(snappy_block(b'\x0a\x7fshort'), 'bad_protobuf'),
            refused(snappy_block(mixed), 'bad_protobuf'), refused(b'\x0a\x05short', 'bad_protobuf', 'zstd'), refused(bomb('zstd'), 'unpacked_too_large'),
            refused(b'\xff\xff\xff\x3f' + bytes(1000), 'bad_snappy'), Message(b'')]
    schema = [rw.labels([('__name__', 'custom')]) + rw.histogram(t(), 1, 1.0, -53, 0, [1]), rw.labels([('__name__', 'beside')]) + rw.sample(1.0, t())]
    out.append(remote_write_message(rw.field(1, schema[0]) + rw.field(1, schema[1]), stock=snappy_block(rw.field(1, schema[1])),
                                    rejects=[('histogram_schema', 1, schema[0])]))
    return out + broken(request('broken')) + [remote_write_message(request('last', 2))]


def remote_write_record(t):
    out = []
    for n in range(3):
        def request(ms):
            return rw.series([('__name__', 'r'), ('loose', 'yes'), ('n', str(n))], rw.sample(n + 0.5, ms)) + rw.metadata('r', 'h')
        out.append(remote_write_message(request(t()), ['snappy', 'zstd', 'gzip snappy'][n], stock=snappy_block(request(t.record_ms(n)))))
    return out


def remote_write_named(t):
    return [remote_write_message(rw.series([('__name__', 'payload'), ('job', 'payload'), ('Job', 'Payload')], rw.sample(1.0, t()))
                                 + rw.series([('Job', 'first'), ('job', 'second')], rw.sample(2.0, t())))]


# ------------------------------------------------------------------ JSON lines

def json_line(metric, values, stamps):
    return b'{"metric":%s,"values":[%s],"timestamps":[%s]}' % (json.dumps(metric).encode(), ','.join(values).encode(), ','.join(map(str, stamps)).encode())


def jsonline(t):
    def lines(name, count=20):
        return b'\n'.join(json_line({'__name__': 'up', 'instance': 'i%d' % i, 'of': name, 'dup': 'payload'}, [str(i + 0.25), str(i * 7)], [t(), t()])
                          for i in range(count)) + b'\n'
    out = [Message(lines(p, 800 if p == 'snappy framed' else 20), p, place=n % 3, plain=n % 4 == 3) for n, p in enumerate(PACKINGS)]
    out.append(Message(json_line({'__name__': 'odd', 'größe': '漢字 "\\\n\0'}, ['1', 'null', '"Infinity"', '"-inf"', '1e5', '-0.5'], [t() for _ in range(6)])
                       + b'\r\n\r\n' + json_line({'no': 'name', 'empty': ''}, ['1'], [t()]), dropped={'nan': 1}))
    out.append(Message(json_line({'__name__': 'old'}, ['1', '2'], [3600, t()]), dropped={'too_old': 1}))
    for total in (40, 41):      # the name counts
        pairs = {'__name__': 'many', **{'l%02d' % i: 'x' for i in range(total - t.extras - 2)}}
        out.append(Message(json_line(pairs, ['1'], [t()]) + b'\n' + json_line({**pairs, 'dup': 'counts as well'}, ['2', '3'], [t(), t()]),
                           dropped={'too_many_labels': 2} if total > 40 else {}))
    for long in (0, 1):
        out.append(Message(b'\n'.join(json_line(m, ['1'], [t()]) for m in ({'__name__': 'l', 'n' * (256 + long): 'x'}, {'__name__': 'l', 'a': 'v' * (4096 + long)},
                                                                          {'__name__': 'n' * (4096 + long)})),
                           dropped={'too_long_label_name': 1, 'too_long_label_value': 2} if long else {}))
    good = [json_line({'__name__': 'beside', 'n': str(n)}, [str(n)], [t()]) for n in range(3)]
    bad = [(b'{"metric":{"__name__":"x"},"values":[1,2],"timestamps":[%d]}' % t(), 'values_timestamps_differ'), (b'{"metric":', 'bad_json'), (b'[]', 'missing_metric'),
           (b'{"metric":{},"values":[1],"timestamps":[1]}', 'missing_tags'), (json_line({'__name__': 'x'}, ['"nope"'], [t()]), 'bad_value'),
           (json_line({'__name__': 'x'}, ['1'], ['1.5']), 'bad_timestamp'), (b'{"a":' + b'[' * 400 + b']' * 400 + b'}', 'json_too_deep'), (b'{"values":[1]}', 'missing_metric')]
    mixed = b'\n'.join([good[0], *(b for b, _ in bad[:4]), good[1], *(b for b, _ in bad[4:]), good[2]])
    out.append(Message(mixed, 'snappy xerial', rejects=[(reason, 2 + n + (n >= 4), b) for n, (b, reason) in enumerate(bad)]))
    out += [refused(b'[' * 100000, 'json_too_deep'), refused(b'no JSON', 'bad_json'), refused(b'{"metric":{"__name__":"x"},"values":[1.2.3],"timestamps":[1]}', 'bad_value'),
            refused(bomb('lz4'), 'unpacked_too_large'), Message(b'')]
    return out + broken(lines('broken')) + [Message(lines('last', 2))]


def jsonline_record(t):
    out = []
    for n in range(3):
        def lines(ms):
            return json_line({'__name__': 'r', 'loose': 'yes', 'n': str(n)}, [str(n + 0.5)], [ms])
        out.append(Message(lines(t()), ['plain', 'zstd', 'lz4'][n], stock=lines(t.record_ms(n))))
    return out


def jsonline_named(t):
    return [Message(json_line({'__name__': 'payload', 'job': 'payload', 'Job': 'Payload'}, ['1'], [t()]) + b'\n' + json_line({'Job': 'first', 'job': 'second'}, ['2'], [t()]))]


# ------------------------------------------------------------------ JSON, by mapping

DEVICES = {'each': '$.readings[*]', 'time': '$.ts', 'time_format': 'ms', 'name': '${$$.device.type}_$1', 'labels': {'device': '$$.device.id', 'unit': '$.unit', 'dup': '$.unit'},
           'fields': ['$.value as reading', "$.more['a b'] as spaced", '$.counters.*', '$.list[1]']}
CLIMATE = {'time': '$.at', 'labels': {'ok': '$.ok', 'channel': '$.channel'}}


def iso(ms):
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%S.') + '%03dZ' % (ms % 1000)


def read_by(mapping):
    """Message that is read by the mapping, to a function of its surroundings: rows are filled in when the topic is known."""
    def make(body, *args, **more):
        m = Message(body, *args, stock=b'', **more)
        m.read = lambda surroundings: Mapping(**mapping).rows(body, surroundings)
        return m
    return make


def json_devices(t):
    message = read_by(DEVICES)

    def body(count=4):
        return json.dumps({'device': {'id': 'dev "1" ü', 'type': 'plc'}, 'ignored': [1, 2], 'readings': [
            {'ts': t(), 'unit': '°C', 'value': n + 0.5, 'more': {'a b': n}, 'counters': {'in': n, 'deep': {'out': True, 'text': 'x'}}, 'list': [0, str(n)], 'other': 9}
            for n in range(count)]}, ensure_ascii=n_ascii).encode()
    n_ascii = False
    out = [message(body(300 if p == 'snappy framed' else 4), p, place=n % 3, plain=n % 4 == 3) for n, p in enumerate(PACKINGS)]
    n_ascii = True
    out.append(message(body()))
    head, good = b'{"device":{"id":"d","type":"t"},"readings":[', b'{"ts":%d,"unit":"V","value":%d}'
    bad = [(b'{"ts":"never","unit":"V","value":1}', 'bad_time'), (b'{"ts":%d,"value":1}' % t(), 'missing_label'), (b'{"ts":%d,"unit":[],"value":1}' % t(), 'bad_label'),
           (b'{"ts":%d,"unit":"V","value":"abc"}' % t(), 'bad_field'), (b'{"ts":%d,"unit":"V","value":1.2.3}' % t(), 'bad_number'), (b'{"ts":%d,"unit":"V"}' % t(), 'missing_fields')]
    goods = [good % (t(), n) for n in range(2)]
    m = message(head + b','.join([goods[0], *(b for b, _ in bad), goods[1]]) + b']}', 'zstd', rejects=[(reason, 2 + n, b) for n, (b, reason) in enumerate(bad)])
    m.read = lambda surroundings: Mapping(**DEVICES).rows(head + b','.join(goods) + b']}', surroundings)
    out.append(m)
    out += [refused(b'{"device":1}', 'no_readings'), refused(b'{"readings":[{"ts":1,"unit":"V","value":1}]}', 'missing_name'), Message(b'{"readings":[]}', stock=b''), Message(b'', stock=b'')]
    return out + broken(body())


def json_climate(t):
    """The default mapping of fields, items of a top-level array, times of any look."""
    message = read_by(CLIMATE)
    out = []
    for n, when in enumerate((iso(t()), t(), t() * 1000, t() * 10 ** 6, '%d' % t(), 1.5 + t() // 1000)):
        out.append(message(json.dumps({'at': when, 'ok': n % 2 == 0, 'channel': n, 'temp': 20.5 + n, 'room': {'humidity': n, 'name': 'x', 'on': False}, 'list': [1, {'v': 2}]}).encode()))
    out.append(message(json.dumps([{'at': t(), 'ok': True, 'channel': 77 + n, 't': n} for n in range(3)]).encode(), 'gzip', place=1))
    out.append(message(b'{"at":%d,"ok":true,"channel":1e2,"big":12345678901234,"small":1.5e-7,"\\u00fc":3}' % t()))
    deep = lambda n: b'{"at":%d,"ok":true,"channel":1,"a":%s1%s}' % (t(), b'[' * n, b']' * n)
    name = b'{"at":%d,"ok":true,"channel":1,"%s":1}'
    out += [message(deep(63)), refused(deep(64), 'json_too_deep'), refused(b'[' * 200000, 'json_too_deep'),
            refused(b'{"at":1,"ok":true,"channel":1,"v":1e}', 'bad_number'), refused(b'{"at":1,"ok":true,"channel":1,"v":%s}' % (b'9' * 5000 + b'x'), 'bad_json'),
            message(name % (t(), b'n' * 1024)), refused(name % (t(), b'n' * 1025), 'field_name_too_long'),
            refused(b'{"at":%d,"ok":true,"channel":1,"%s":[%s]}' % (t(), b'k' * 1000, b','.join([b'0'] * 70000)), 'names_too_large'),
            refused(b'{"at":%d,' % t(), 'bad_json'), refused(b'21.5 C', 'bad_json'), refused(bomb('gzip'), 'unpacked_too_large'), Message(b'', stock=b'')]
    return out


def json_record(t):
    message = read_by({'name': ''})
    out = [message(json.dumps({'loose': n + 0.5}).encode(), ['plain', 'zstd'][n % 2]) for n in range(3)]
    return out


def json_timed_by_record(t):
    message = read_by({'name': 'r', 'time': '$.at'})
    return [message(json.dumps({'at': t(), 'v': n}).encode()) for n in range(3)]


def json_named(t):
    message = read_by({'time': '$.at', 'labels': {'job': '$.job'}})
    return [message(json.dumps({'at': t(), 'v': 1, 'job': 'payload'}).encode())]


# ------------------------------------------------------------------ value

def value(t):
    out = []
    good = [b'21.5', b'-7', b' 5e-3\r\n', b'true', b'OFF', b'on\n', b'False', b'42\0', b'+Inf', b'12345678901234']
    for n, body in enumerate(good):
        m = Message(body, list(PACKINGS)[n % len(PACKINGS)], place=n % 3, plain=n % 4 == 3, stock=b'')
        m.read = lambda surroundings, body=body: [({'__name__': surroundings['topic_last']}, None, value_of(body))]
        out.append(m)
    out.append(Message(b'NaN', stock=b'', dropped={'nan': 1}))
    out += [refused(b, 'not_a_number') for b in (b'21.5 C', b'open', b' \n', b'\0', b'{"v":1}', b'1' * 300 + b'x', b'\xff\xfe')]
    out += [refused(b'', 'not_a_number', 'gzip'), refused(bomb('lz4'), 'unpacked_too_large')]
    out += broken(b'21.5 ' * 50)
    return out


def value_named(t):
    m = Message(b'1.5', stock=b'')
    m.read = lambda surroundings: [({'__name__': surroundings['topic_last']}, None, 1.5)]
    return [m]


NAMED = {'__name__': 'forced_$1', 'job': 'configured'}
CASES = [
    Case('influx', 'influx', influx), Case('influx-named', 'influx', influx_named, labels=NAMED), Case('influx-record', 'influx', influx_record, {'timestamp': 'record'}),
    *(Case('influx-' + unit, 'influx', influx_precision(unit), {'precision': unit}) for unit in ('ns', 'us', 'ms', 's')),
    Case('retained', 'influx', influx_retained, retained=True), Case('retained-record', 'influx', influx_retained_record, {'timestamp': 'record'}, retained=True),
    Case('rw', 'prometheus_remote_write', remote_write), Case('rw-named', 'prometheus_remote_write', remote_write_named, labels=NAMED),
    Case('rw-record', 'prometheus_remote_write', remote_write_record, {'timestamp': 'record'}),
    Case('jsonline', 'jsonline', jsonline), Case('jsonline-named', 'jsonline', jsonline_named, labels=NAMED),
    Case('jsonline-record', 'jsonline', jsonline_record, {'timestamp': 'record'}),
    Case('json-devices', 'json', json_devices, {'json': DEVICES}), Case('json-climate', 'json', json_climate, {'json': CLIMATE}),
    Case('json-untimed', 'json', json_record, {'json': {'name': ''}}), Case('json-record', 'json', json_timed_by_record, {'timestamp': 'record', 'json': {'name': 'r', 'time': '$.at'}}),
    Case('json-named', 'json', json_named, {'json': {'time': '$.at', 'labels': {'job': '$.job'}}}, labels=NAMED),
    Case('value', 'value', value), Case('value-named', 'value', value_named, labels=NAMED),
]
