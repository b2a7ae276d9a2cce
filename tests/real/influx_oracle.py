#!/usr/bin/env python3
"""influx_oracle.py VICTORIA-METRICS DECODE-DUMP [--seed N] [--groups N]

Holds the influx decoder against a stock victoria-metrics: the same payload bytes go to POST /write of a server that is
started here (free loopback port, temporary directory, both gone at the end) and through decode_dump; then the server's
/api/v1/export has to equal what the decoder made of them, as multisets of (labels, timestamp, value).

Lines come from a grammar and from mutations of its lines. Most groups go with "Stream-Mode: 1", in which the server,
too, drops bad lines one by one; groups without bad lines also go without it. Each line has an id tag of its own, so
that (mutations aside) each series has one sample and no block's common scale rounds its value.
"""
import argparse
import random
import sys
import tempfile
import time

from harness.decoding import Server, collect_ours, collect_stock, decode, differences

STAMP = int(time.time()) - 40 * 86400  # compared timestamps lie around here


# --- payloads -----------------------------------------------------------------------------------------------------

def digits(r, most):
    return ''.join(r.choice('0123456789') for _ in range(r.randint(1, most)))


def number(r):
    kind = r.randrange(16)
    sign = r.choice(['', '', '', '-'])
    if kind < 3:
        return f'{sign}{r.randrange(10 ** r.randint(1, 6))}.{digits(r, 6)}'
    if kind < 5:
        return sign + digits(r, r.choice([3, 9, 16, 19, 22]))
    if kind == 5:
        return sign + digits(r, 19) + r.choice('iu')
    if kind == 6:
        return f'{sign}{digits(r, r.choice([1, 3, 9, 20, 60]))}.{digits(r, r.choice([3, 8, 12, 17, 40]))}'
    if kind == 7:
        return repr(r.uniform(-1, 1) * 10 ** r.randint(-20, 20))
    if kind == 8:
        return f'{sign}{digits(r, 17)}{r.choice(["", ".", "." + digits(r, 12)])}{r.choice("eE")}{r.choice(["", "+", "-"])}{digits(r, r.choice([1, 2, 3]))}'
    if kind == 9:
        return sign + '0.' + '0' * r.randint(0, 25) + digits(r, 18)
    if kind == 10:
        return sign + digits(r, 12) + '0' * r.randint(0, 14) + r.choice(['', '.', '.0', '.000', 'i'])
    if kind == 11:
        return f'{r.randint(1, 9)}e{r.choice(["-", ""])}{r.choice([1, 5, 15, 22, 50, 200, 280, 300, 301, 307, 308, 309, 320, 400, 99999])}'
    if kind == 12:
        return r.choice(['t', 'T', 'true', 'True', 'TRUE', 'f', 'F', 'false', 'False', 'FALSE', 'tRUE', 'yes'])
    if kind == 13:
        return r.choice(['inf', '-inf', '+inf', 'Inf', 'INFINITY', '-infinity', 'nan', 'NaN', '-nan', '+nan', 'infi', 'i', 'u', '-', '+', '.', '-.',
                         '.5', '-.5', '5.', '-5.', '5.e3', '.e3', '1e', '1e+', '1.e', '+5', '--5', '-+5', '0x10', '1_000', '0', '-0', '0.0', '-0.0',
                         '00', '007', '-007.50', '1234567890123456789_0', '1_2.3', '123456789012345678x', '1234567890123456.5x',
                         '9223372036854775807i', '9223372036854775808i', '-9223372036854775808i', '-9223372036854775809i',
                         '18446744073709551615u', '18446744073709551616u', '-1u', '-0u', '+1i', '1.0i', '00000000000000000000000012i',
                         '9007199254740993', '9007199254740993i', '36028797018963967', '36028797018963968', '36028797018963969',
                         '123456789012345000', '1152921504606846976', '1000000.5', '999999.99999', '1000000.000001', '0.000001', '0.0000009',
                         '0.00000099999', '4.9e-324', '1.7976931348623157e308', '1.7976931348623159e308', '2e308', '-2e308', '1' + '0' * 400,
                         '0.' + '0' * 400 + '1', '5' * 1000, '5' * 1000 + '.' + '7' * 1000, '1.0000000000000000000000000000000000000001',
                         '12345678901234567.', '-12345678901234567.', '12345678901234567.e5', '١٢', '1,5', '1 5'])
    if kind == 14:
        return '"' + r.choice(['text', '', '12', '-3.5e2', 'a b', 'a,b=c', '\\"', '\\\\', 'i', 'nan', 'x\\"y z', 'ü', '5i', '\\', "'"]) + '"'
    return r.choice(['abc', 'hi', 'ü', 'a=b', '1=2', '"', '"a', 'a"b"', '"a"b', '""', '"a"i', '\\"', '', ' ', '\\ ', '1\\,2'])


def name(r, least=1):
    out = ''
    for _ in range(r.randint(least, r.choice([1, 3, 8, 20]))):
        out += r.choice('abcdefghijklmnopqrstuvwxyzABC_0123456789.:-/') if r.random() < 0.85 else r.choice(
            ['\\ ', '\\,', '\\=', '\\\\', '\\x', '\\', 'ü', '漢', '"', '\\"', '🙂', '\t', "'", '\x01', '\x7f', '{', '#', '\\\\\\', '=', '\r'])
    return out


def stamp(r):
    ms = STAMP * 1000 + r.randrange(20 * 86400 * 1000)
    kind = r.randrange(12)
    if kind < 5:
        return str(ms * 1000000 + r.randrange(1000000))
    if kind < 9:
        return [str(ms // 1000), str(ms), str(ms * 1000 + r.randrange(1000)), '0' * r.randint(1, 9) + str(ms)][kind - 5]
    if kind == 9:
        return r.choice(['', ' ', '0', '-0', '00'])
    if kind == 10:
        return r.choice(['99999999999', '100000000000', '99999999999999', '100000000000000', '1', '-1', '-5000000000', '99999999999999999',
                         '100000000000000000', '9223372036854775807', '9223372036854775808', '-9223372036854775808', '1152921504606846976'])
    return r.choice([f'{ms}.5', f'{ms} ', f'{ms}i', f'+{ms}', 'now', f'  {ms}', f'{ms}\r', f'{ms}\r\r', f'{ms} 5', f'1e12', '"5"', f'{ms}\t', f'\\{ms}'])


def line(r, ident):
    out = r.choice(['m', 'cpu', 'm', name(r), name(r), ''])
    tags = [f'id={ident}']
    for _ in range(r.choice([0, 1, 2, 3, 6])):
        kind = r.randrange(12)
        tags.append(name(r) + '=' + name(r) if kind < 9 else
                    [name(r) + '=', '=' + name(r), r.choice([name(r), '', 'a=b=c', '__name__=x', 'job=a,Job=b', 'id2=1,id2=2', 'db=x'])][kind - 9])
    r.shuffle(tags)
    if r.random() < 0.97:
        out += ',' + ','.join(tags)
    out += ' ' * (1 if r.random() < 0.95 else r.randint(0, 3))
    fields = [(r.choice(['value', 'f', 'usage_user']) if r.random() < 0.5 else name(r)) + str(i) + '=' + number(r)
              for i in range(r.choice([1, 1, 2, 3, 10]))]
    if r.random() < 0.03:
        fields.append(r.choice(['', '=1', 'x', 'x=', fields[0]]))
    out += ','.join(fields)
    if r.random() < 0.97:
        out += ' ' + stamp(r)
    return out.encode()


def mutate(r, text):
    text = bytearray(text)
    for _ in range(r.choice([1, 1, 2, 4])):
        at = r.randrange(len(text) + 1)
        kind = r.randrange(4)
        if kind == 0:
            text[at:at] = r.choice([b' ', b',', b'=', b'\\', b'"', b'  ', b',,', b'\\\\', b'""', b'\xff', b'\x00', b'#', b'i', b'.', b'e', b'-'])
        elif kind == 1:
            del text[at:at + r.choice([1, 1, 3, 10])]
        elif kind == 2 and at < len(text):
            text[at] = r.choice(b' ,=\\"\x00\xc3\r0i') if r.random() < 0.8 else r.randrange(256)
        else:
            end = min(len(text), at + r.randint(1, 12))
            text[at:at] = text[at:end]
    return bytes(text).replace(b'\n', b'')


def group(r, first_ident):
    lines = []
    for i in range(r.choice([1, 3, 20])):
        text = line(r, first_ident + i)
        if r.random() < 0.35:
            text = mutate(r, text)
        lines.append(text)
        if r.random() < 0.05:
            lines.append(r.choice([b'', b'# comment, a=b c=1', b'\r', b' ', b'#']))
    end = r.choice([b'\n', b'\n', b'\r\n'])
    return end.join(lines) + r.choice([b'', b'\n', b'\r\n', b'\n\n'])


# --- comparison ------------------------------------------------------------------------------------------------

def too_large(labels):
    """The stock limits, which are storage's business in Varve, like the limits of time below (from 1970-01-02 on)."""
    tags, title = labels[:-1], labels[-1]
    size = lambda s: len(s.encode('utf-8', 'surrogateescape'))
    return len(tags) > 40 or any(size(k) > 256 or size(v) > 4096 for k, v in tags) or size(title[1]) > 4096


def write(server, payload, stream):
    headers = {'Content-Type': 'text/plain'}
    if stream:
        headers['Stream-Mode'] = '1'
    return server.post('/write', payload, headers)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('server')
    parser.add_argument('dump')
    parser.add_argument('--seed', type=int, default=random.randrange(1 << 30))
    parser.add_argument('--groups', type=int, default=2000)
    args = parser.parse_args()
    r = random.Random(args.seed)
    payloads = [group(r, i * 100) for i in range(args.groups)]
    # Plain numbers in plain lines: what most payloads are made of.
    for i in range(args.groups // 10):
        payloads.append(b''.join(b'n,id=n%d-%d v=%s %d\n' % (i, j, number(r).encode(), STAMP) for j in range(100)))

    failed = 0
    with tempfile.TemporaryDirectory(prefix='influx_oracle.') as directory:
        results = decode(args.dump, 'influx', payloads, directory)
    assert len(results) == len(payloads)
    server = Server(args.server)
    try:
        started_ms = int(time.time() * 1000)
        for payload, (_, report) in zip(payloads, results):
            good = not report['bad_lines'] and report['reject'] is None
            status = write(server, payload, stream=not good)
            if status != 204:
                failed += 1
                print(f'stock answers {status} to a payload that is good to us: {payload!r}')
            elif not good and write(server, payload, stream=False) == 204:
                failed += 1
                print(f'stock takes a payload of which we refuse lines {report["bad_lines"]}, {report["reject"]}: {payload!r}')
        ended_ms = int(time.time() * 1000)
        stock = collect_stock(server.export())
    finally:
        server.stop()
    ours = collect_ours(results, ended_ms, too_large)
    for key, a, b in differences(ours, stock, started_ms, ended_ms):
        failed += 1
        if failed < 20:
            print(f'{dict(key)}\n  ours  {a}\n  stock {b}')
    lines = sum(p.count(b'\n') + 1 for p in payloads)
    bad = sum(len(report['bad_lines']) for _, report in results)
    print(f'seed {args.seed}: {len(payloads)} payloads, {lines} lines ({bad} bad in part-good messages, '
          f'{sum(1 for _, p in results if p["reject"])} messages rejected), {len(stock)} series, {failed} differences')
    return 1 if failed or not stock else 0


if __name__ == '__main__':
    sys.exit(main())
