#!/usr/bin/env python3
"""decode_oracle.py VICTORIA-METRICS DECODE-DUMP [--format NAME] [--seed N] [--payloads N]

Holds the decoders prometheus_remote_write and jsonline (or the one named) against a stock victoria-metrics: the same
payload bytes go to POST /api/v1/write or /api/v1/import of a server that is started here (free loopback port, temporary
directory, both gone at the end) and through decode_dump; then the server's /api/v1/export has to equal what the decoder
made of them, as multisets of (labels, timestamp, value), and what the server refuses has to be what we reject.

Payloads come from a grammar and from mutations of what it makes. Each series has an id label of its own and mostly one
sample, so that no block's common scale rounds its value.
"""
import argparse
import random
import struct
import sys
import tempfile
import time

import zstandard

from harness.decoding import Server, collect_ours, collect_stock, decode, differences
from harness.remote_write import field, varint, zigzag

STAMP = (int(time.time()) // 86400 - 40) * 86400  # compared timestamps lie around here; the same all day, for --seed
EVERYTHING = '{__name__!="no_such_name"}'


def stamp(r):
    if r.random() < 0.9:
        return STAMP * 1000 + r.randrange(20 * 86400 * 1000)
    return r.choice([0, -1, 1, 86400000, -(2 ** 63), 2 ** 63 - 1, 253402300800000, 2 ** 41, 2 ** 42, 2 ** 35, 2 ** 49])


def value(r):
    kind = r.randrange(8)
    if kind < 2:
        return float(r.randrange(-10 ** r.randint(1, 15), 10 ** r.randint(1, 15)))
    if kind < 4:
        return round(r.uniform(-1000, 1000), r.randint(0, 6))
    if kind == 4:
        return r.uniform(-1, 1) * 10.0 ** r.randint(-300, 300)
    if kind == 5:
        return r.choice([0.0, -0.0, float('inf'), float('-inf'), 5e-324, 1.7976931348623157e308, 2.0 ** 63, 2.0 ** 64, 0.1, 1 / 3])
    return r.random()


def text(r, least=0):
    out = ''
    for _ in range(r.randint(least, r.choice([1, 3, 8, 30]))):
        out += r.choice('abcdefghijklmnopqrstuvwxyz_0123456789.:-/ ') if r.random() < 0.9 else r.choice(
            ['ü', '漢', '🙂', '"', '\\', '\n', '\t', '\x00', '\x01', '\x02', '\x7f', '{', '=', ',', "'"])
    return out


def labels(r, ident):
    out = [('id', ident), ('__name__', r.choice(['up', 'cpu_seconds_total', 'm', text(r)]))]
    for _ in range(r.choice([0, 1, 2, 5, 12])):
        out.append((r.choice(['job', 'instance', 'Job', 'dc', text(r)]), text(r)))
    if r.random() < 0.05:
        out.append(r.choice([('', 'named'), ('__name__', 'again'), ('empty', ''), ('long', 'x' * 5000), ('n' * 300, 'x')]))
    if r.random() < 0.02:
        out += [(f'l{i}', 'x') for i in range(r.choice([30, 38, 39, 45]))]
    if r.random() < 0.7:
        out.sort()
    else:
        r.shuffle(out)
    return out


def mutate(r, data, bytes_to_insert):
    data = bytearray(data)
    for _ in range(r.choice([1, 1, 2, 4])):
        at = r.randrange(len(data) + 1)
        kind = r.randrange(4)
        if kind == 0:
            data[at:at] = r.choice(bytes_to_insert)
        elif kind == 1:
            del data[at:at + r.choice([1, 1, 3, 10])]
        elif kind == 2 and at < len(data):
            data[at] = r.randrange(256)
        else:
            data[at:at] = data[at:at + r.randint(1, 12)]
    return bytes(data)


# --- remote write -------------------------------------------------------------------------------------------------

def snappy_block(r, data):
    """Literals, and copies of what came 1 to 2047 bytes before where it's there again."""
    out, at, plain = varint(len(data)), 0, b''
    seen = {}

    def literal(run):
        for i in range(0, len(run), 60):
            part = run[i:i + 60]
            yield bytes([len(part) - 1 << 2]) + part
    while at < len(data):
        before = seen.get(data[at:at + 4], -1)
        seen[data[at:at + 4]] = at
        if 0 <= before and at - before < 2048 and len(data) - at >= 4:
            n = 4
            while n < 11 and at + n < len(data) and data[before + n] == data[at + n]:
                n += 1
            out += b''.join(literal(plain)) + bytes([(at - before >> 8) << 5 | (n - 4) << 2 | 1, (at - before) & 0xff])
            at, plain = at + n, b''
        else:
            plain += data[at:at + 1]
            at += 1
    return out + b''.join(literal(plain))


def sample(r, bits, ms):
    parts = [b'\x09' + bits, b'\x10' + varint(ms)]
    if r.random() < 0.05:
        parts = r.choice([parts[::-1], parts[:1], parts[1:], [], parts + parts[:1], parts + [b'\x1a\x01x'], parts + [b'\x18\x05']])
    return field(2, b''.join(parts))


def repeated(r, number, items, packed):
    if packed:
        return [field(number, b''.join(items))]
    return [varint(number << 3 | (1 if number in (10, 13) else 0)) + i for i in items]


def buckets(r, first):
    """Spans, and deltas or counts of one side."""
    spans, items, last, floats = [], [], 0, r.random() < 0.3
    for _ in range(r.choice([0, 1, 2, 3])):
        length = r.randrange(6)
        spans.append(field(first, b'\x08' + zigzag(r.randrange(-20, 21)) + b'\x10' + varint(length)))
        for _ in range(length):
            count = r.choice([0, 1, 5, r.randrange(1000)])
            items.append(struct.pack('<d', count) if floats else zigzag(count - last))
            last = count
    if items and r.random() < 0.1:
        items.pop()
    return spans + repeated(r, first + (2 if floats else 1), items, r.random() < 0.8)


def histogram(r):
    parts = [r.choice([b'\x08' + varint(r.randrange(10000)), b'\x11' + struct.pack('<d', r.randrange(10000) / 4)]), b'\x19' + struct.pack('<d', value(r)),
             b'\x20' + zigzag(r.randrange(-4, 9) if r.random() < 0.99 else r.choice([-53, 9, -5])), b'\x29' + struct.pack('<d', r.choice([0, 1e-128, 2.938735877055719e-39, 0.001])),
             r.choice([b'\x30' + varint(r.randrange(3)), b'\x39' + struct.pack('<d', r.randrange(3))]), b'\x78' + varint(STAMP * 1000 + r.randrange(20 * 86400 * 1000))]
    parts += buckets(r, 8) + buckets(r, 11)
    if r.random() < 0.2:
        parts.append(b'\x70\x01')
    if r.random() < 0.02:
        parts.append(r.choice([b'\x40\x01', b'\x4d\0\0\0\0', b'\x52\x03abc', b'\x09' + bytes(8), b'\x20' + varint(2 ** 33)]))
    return field(4, b''.join(parts))


def series(r, ident):
    parts = [field(1, b''.join(r.choice([[field(1, k.encode()), field(2, v.encode())]] * 30 + [
        [field(2, v.encode()), field(1, k.encode())], [field(1, k.encode())], [field(1, b'x'), field(1, k.encode()), field(2, v.encode())]])))
        for k, v in labels(r, ident)]
    histograms = r.random() < 0.1
    if histograms:
        parts += [histogram(r) for _ in range(r.choice([1, 1, 2]))]
    for _ in range(r.choice([1, 1, 1, 1, 0, 3]) if not histograms or r.random() < 0.05 else 0):
        bits = struct.pack('<d', value(r))
        if r.random() < 0.05:
            bits = r.choice([0x7ff0000000000002, 0x7ff8000000000001, 0x7ff8000000000000, 0xfff8000000000000, 0x7ff0000000000001]).to_bytes(8, 'little')
        parts.append(sample(r, bits, stamp(r)))
    if r.random() < 0.1:
        parts.append(r.choice([field(3, b'\x09' + bytes(8)), b'\x28\x07', b'\x2d\0\0\0\0', b'\x31' + bytes(8)]))
    if r.random() < 0.05:
        r.shuffle(parts)
    return field(1, b''.join(parts))


def remote_write(r, first_ident):
    parts = [series(r, f'r{first_ident + i}') for i in range(r.choice([1, 3, 20]))]
    if r.random() < 0.2:
        parts.append(field(3, b'\x08\x01' + field(2, b'up') + field(4, b'help')))
    if r.random() < 0.02:
        parts.append(r.choice([b'\x10\x01', field(2, b'x'), b'\x08\x01', b'\x0b', b'\x0f', field(3, b'\x08'), b'\x00\x00', b'\x82\x00\x00']))
    data = b''.join(parts)
    if r.random() < 0.3:
        data = mutate(r, data, [b'\x0a', b'\x12', b'\x80', b'\xff', b'\0', b'\x09', b'\x10', b'\x0a\0', b'\x12\0', b'\xff' * 10])
    if r.random() < 0.1:
        return zstandard.compress(data)
    data = snappy_block(r, data)
    if r.random() < 0.1:
        data = mutate(r, data, [b'\x01\x01', b'\xff', b'\0', b'\xfc'])
    return data


def write_remote(server, payload):
    encoding = 'zstd' if payload[:4] == b'\x28\xb5\x2f\xfd' else 'snappy'
    return server.post('/api/v1/write', payload, {'Content-Encoding': encoding, 'Content-Type': 'application/x-protobuf'}) == 204


# --- JSON lines ---------------------------------------------------------------------------------------------------

def json_text(r, s):
    out = ''
    for c in s:
        if c in '"\\' or (c < ' ' and (c == '\n' or r.random() < 0.5)):
            out += {'"': '\\"', '\\': '\\\\', '\n': '\\n', '\t': '\\t'}.get(c) or '\\u%04x' % ord(c)
        elif r.random() < 0.03:
            out += ''.join('\\u%04x' % u for u in struct.unpack('>%dH' % (len(c.encode('utf-16-be')) // 2), c.encode('utf-16-be')))
        else:
            out += c
    if r.random() < 0.02:
        out += r.choice(['\\x', '\\u12', '\\ud800', '\\udc00\\ud800', '\\ud800\\n', '\\u12g4', '\\/', '\\b', '\\f', '\\r', '\\ud83d\\ude00', '\\uDBFF\\uDFFF', '\\u0000', '\\ud800\\u0041'])
    return '"' + out + '"'


def json_number(r):
    if r.random() < 0.85:
        return repr(value(r)).replace('inf', 'Inf')
    return r.choice(['null', '"Infinity"', '"-inf"', '"NaN"', '"-null"', '"inf\\u0069nity"', '"nope"', '""', 'nan', 'NaN', 'Inf', '-inf', '+inf', 'INF', 'Infinity', 'true', '[1]',
                     '{}', '1e5', '1E-5', '+5', '-', '.5', '5.', '-5.', '-.5', '1e', '1e400', '-1e400', '1e-400', '12345678901234567890', '0.' + '1' * 40, '007', '1.2.3', '1-2', '--1',
                     '"1"', '18446744073709551616', '1e+3', '1_000', '36028797018963969', '9007199254740993'])


def spaces(r):
    return '' if r.random() < 0.9 else r.choice([' ', '  ', '\t', '\r', ' \t'])


def json_line(r, ident):
    count = r.choice([1, 1, 1, 1, 3])
    values = [json_number(r) for _ in range(count)]
    stamps = [str(stamp(r)) for _ in range(count)]
    if r.random() < 0.04:
        stamps[0] = r.choice(['1.5', '"5"', 'null', '-', '1e12', '+5', '9223372036854775808', '0001753800000000', '', 'nan'])
    if r.random() < 0.02:
        stamps = stamps[1:]
    metric = [json_text(r, k) + spaces(r) + ':' + spaces(r) + json_text(r, v) for k, v in labels(r, ident)]
    if r.random() < 0.05:
        metric.append(json_text(r, text(r)) + ':' + r.choice(['1', 'null', 'true', '{"a":[1,"}"]}', '["]"]', '""']))
    members = ['"metric":{' + ','.join(metric) + '}', '"values":[' + (spaces(r) + ',').join(values) + ']', '"timestamps":[' + ','.join(stamps) + ']']
    if r.random() < 0.1:
        members.insert(r.randrange(4), r.choice(['"other":{"a":[1,{"b":null}]}', '"x":1', '"metric":{}', '"values":[1]', '"values":null', '"timestamps":[]',
                                                 '"m\\u0065tric":{"id":"%s","__name__":"escaped"}' % ident, '"value\\u0073":[7]', '"timestamps":[%d]' % (STAMP * 1000),
                                                 '"deep":' + '[' * 60 + ']' * 60]))
    if r.random() < 0.1:
        r.shuffle(members)
    if r.random() < 0.03:
        members.pop(r.randrange(len(members)))
    return (spaces(r) + '{' + spaces(r) + (',' + spaces(r)).join(members) + '}' + spaces(r)).encode()


def jsonline(r, first_ident):
    lines = []
    for i in range(r.choice([1, 3, 20])):
        line = json_line(r, f'j{first_ident + i}')
        if r.random() < 0.3:
            line = mutate(r, line, [b'"', b',', b':', b'{', b'}', b'[', b']', b'\\', b'1', b'null', b' ', b'\xff', b'\0', b'-', b'.', b'e']).replace(b'\n', b'')
        lines.append(line)
        if r.random() < 0.05:
            lines.append(r.choice([b'', b'\r', b' ', b'{}', b'[]', b'1', b'"x"', b'null', b'{"metric":1}']))
    return r.choice([b'\n', b'\n', b'\r\n']).join(lines) + r.choice([b'', b'\n', b'\r\n', b'\n\n'])


def write_import(server, payload):
    return server.post('/api/v1/import', payload, {'Content-Type': 'text/plain'}) == 204


# --- comparison ---------------------------------------------------------------------------------------------------

def too_large(labels):
    """The stock limits, which are storage's business in Varve, like the limits of time."""
    size = lambda s: len(s.encode('utf-8', 'surrogateescape'))
    return len(labels) > 40 or not labels or any(size(k) > 256 or size(v) > 4096 for k, v in labels)


# format -> (makes a payload, sends it: whether it was taken, whether the server refuses what we reject)
FORMATS = {
    'prometheus_remote_write': (remote_write, write_remote, True),
    'jsonline': (jsonline, write_import, False),
}


def compare(args, name, r):
    make, send, refuses = FORMATS[name]
    payloads = [make(r, i * 100) for i in range(args.payloads)]
    with tempfile.TemporaryDirectory(prefix='decode_oracle.') as directory:
        results = decode(args.dump, name, payloads, directory)
    assert len(results) == len(payloads)
    failed = 0
    server = Server(args.server)
    try:
        started_ms = int(time.time() * 1000)
        # What we reject goes last: a request that stock 1.151 refuses leaves labels and samples in its pools, which fill the
        # fields that later requests leave out.
        for payload, (_, report) in sorted(zip(payloads, results), key=lambda p: p[1][1]['reject'] is not None):
            if refuses and (report['bad_lines'] or report['reject'] == 'histogram_schema'):
                continue  # deliberately another way
            taken = send(server, payload)
            if taken != (not refuses or report['reject'] is None):
                failed += 1
                if failed < 20:
                    print(f'stock {"takes" if taken else "refuses"} what we find {report["reject"] or "good"}: {payload!r}')
        ended_ms = int(time.time() * 1000)
        stock = collect_stock(server.export(EVERYTHING))
    finally:
        server.stop()
    if refuses:
        results = [result for result in results if not result[1]['bad_lines']]
    for key, a, b in differences(collect_ours(results, ended_ms, too_large), stock, started_ms, ended_ms):
        failed += 1
        if failed < 20:
            print(f'{dict(key)}\n  ours  {a}\n  stock {b}')
    bad = sum(len(report['bad_lines']) for _, report in results)
    print(f'{name}: {len(payloads)} payloads ({bad} bad lines in part-good messages, {sum(1 for _, p in results if p["reject"])} rejected), '
          f'{sum(len(s) for s, _ in results)} samples, {len(stock)} series, {failed} differences')
    return 1 if failed or not stock else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('server')
    parser.add_argument('dump')
    parser.add_argument('--format', choices=FORMATS)
    parser.add_argument('--seed', type=int, default=random.randrange(1 << 30))
    parser.add_argument('--payloads', type=int, default=2000)
    args = parser.parse_args()
    print(f'seed {args.seed}')
    failed = sum(compare(args, name, random.Random(f'{name} {args.seed}')) for name in FORMATS if args.format in (None, name))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
