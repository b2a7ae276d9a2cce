"""The data of the end-to-end tests: influx messages, the same for the same seed.

What is read back must not depend on how blocks were cut and merged, which is the servers' own business. So every series keeps within what
a block holds (18 decimal digits from its largest to its smallest value), and where 10^exponent isn't an exact double all values of a series
have the same decimal exponent: a block's scale is its least exponent, and mantissa times 10^scale rounds differently for another scale.
"""
import math
import random
import zlib

DAY = 86400

_P, _N, _T = [float('1e%d' % (32 * k)) for k in range(10)], [float('1e-%d' % (32 * k)) for k in range(11)], [float('1e%d' % k) for k in range(32)]


def _pow10(n):
    """Go's math.Pow10, for -323 <= n <= 308."""
    return _P[n // 32] * _T[n % 32] if n >= 0 else _N[-n // 32] / _T[-n % 32]


def decimal_exponent(f):
    """The exponent that the format gives to a double of extreme size (format 4.1, step 2)."""
    f = abs(f)
    prec = 1e15 if f > 1e6 else 1e12
    e = int(math.frexp(f)[1] * 0.30102999566398119521)
    f *= _pow10(-e)
    while f < prec:
        r, whole = math.modf(f)
        if r * prec < whole:
            f = whole
            break
        if (1 - r) * prec < whole:
            f = whole + 1
            break
        f, e = f * 100, e - 2
    return e if int(f) % 10 else e + 1


def pool(form):
    """Texts of the form (the # being digits) whose values, as stock reads them, all have one decimal exponent."""
    r = random.Random(form)
    power = _pow10(int(form.lower().partition('e')[2]))
    by_exponent = {}
    for _ in range(3000):
        text = ''.join(str(r.randrange(1, 10)) if c == '#' else c for c in form)
        value = int(text.lower().partition('e')[0]) * power
        by_exponent.setdefault(decimal_exponent(value), []).append(text)
    return max(by_exponent.values(), key=len)


HUGE, TINY, NEGATIVE = pool('#####5e295'), pool('#####5E-293'), pool('-###7e200')

# Each field of a kind is one series per host: (field, value of (random, step)) as influx text.
GAUGE = ('cpu', [('user', lambda r, k: '%.2f' % r.uniform(0, 100)),
                 ('system', lambda r, k: '%.3f' % r.uniform(0, 30)),
                 ('idle', lambda r, k: '%d' % r.randrange(101)),
                 ('temp', lambda r, k: '%.1f' % r.uniform(-40, 90)),
                 ('load', lambda r, k: '%.11f' % r.uniform(0.5, 4))])
COUNTER = ('net', [('rx', lambda r, k: '%di' % (k * 104729 + r.randrange(1000))),
                   ('tx', lambda r, k: '%du' % (k * 7919 + r.randrange(100))),
                   ('errors', lambda r, k: '%di' % (k // 9)),
                   ('delta', lambda r, k: '%di' % r.randrange(-10**9, 10**9)),
                   ('up', lambda r, k: r.choice(('t', 'f', 'true', 'FALSE', 'T', 'False')))])
EXTREME = ('ext', [('huge', lambda r, k: r.choice(('', '-')) + r.choice(HUGE)),
                   ('tiny', lambda r, k: r.choice(TINY)),
                   ('neg_huge', lambda r, k: r.choice(NEGATIVE)),
                   ('big', lambda r, k: '%di' % (9007199254740992 + r.randrange(-1000, 1000))),
                   ('wide', lambda r, k: '%d5500u' % (1844674407370955 - r.randrange(10**11)))])
SPECIAL = ('special', [('inf', lambda r, k: r.choice(('Inf', '-inf', '+Infinity', '1.5', '-2.25'))),
                       ('only', lambda r, k: 'inf'),
                       ('nan', lambda r, k: r.choice(('NaN', '7', '8.5'))),
                       ('zero', lambda r, k: r.choice(('0', '-0', '0.0', '0i'))),
                       ('text', lambda r, k: r.choice(('"text"', '"12.5"', '"a \\"b\\", c=d"', '"7"')))])
KINDS = (GAUGE, COUNTER, EXTREME, SPECIAL)
WEIGHTS = (55, 30, 8, 7)

SITES = ('plant1', 'Werk Süd', '工場', 'a,b=c', 'back\\slash', 'Ωmega', 'Zürich "Nord"', 'x' * 120)
BAD_LINES = (b'nofields', b'm,host=a', b'm,host v=1', b'm,host=a v= 5', b'm,host=a v=12i3i', b'm,host=a v=1 notatime', b'm,host=a =1',
             b'm,host=a v="open', b'm,host=a v')


def escape(text):
    """A tag value or measurement as influx line protocol writes it."""
    return text.replace('\\', '\\\\').replace(' ', '\\ ').replace(',', '\\,').replace('=', '\\=')


def months_from(now):
    """Starts (s) of two whole consecutive months before now, the later one at least a month old."""
    import calendar
    import time
    t = time.gmtime(now)
    first = t.tm_year * 12 + t.tm_mon - 1 - 3
    return tuple(calendar.timegm((m // 12, m % 12 + 1, 1, 0, 0, 0)) for m in (first, first + 1))


class Workload:
    """messages() yields (partition, key, payload); .samples, .bad_lines and .series count what they hold."""

    def __init__(self, seed, samples, series, months, partitions=4, lines=100, tag='', first_step=0, doubles=True, bad_every=40):
        """tag: put into every measurement's name, to make series that another Workload doesn't have.
        first_step: where the time of the same series goes on; rows of different steps have different times.
        doubles: give the series with the label dup="yes" rows with equal timestamps, with equal and with other values."""
        self.random = random.Random(seed)
        self.months, self.partitions, self.lines, self.tag = months, partitions, lines, tag
        self.doubles, self.bad_every = doubles, bad_every
        self.wanted, self.first_step = samples, first_step
        self.devices = self._devices(series)
        self.samples = self.bad_lines = self.nans = 0

    def _devices(self, series):
        out, fields = [], 0
        while fields < series:
            kind = self.random.choices(KINDS, WEIGHTS)[0]
            n = len(out)
            site = SITES[n % len(SITES)] if n % 5 == 0 else SITES[0]
            # a share of the series lives in one month only
            months = (0,) if n % 7 == 1 else (1,) if n % 7 == 2 else (0, 1)
            out.append((kind, n, site, months))
            fields += len(kind[1])
        self.series = fields
        return out

    def _line(self, kind, device, site, k, when, unit):
        measurement, fields = kind
        stamp = {'ns': when * 1000000 + 1, 'us': when * 1000 + 1, 'ms': when, 's': when // 1000}[unit]
        tags = ',host=h%05d,site=%s' % (device, escape(site))
        if device % 17 == 3:
            tags += ',dup=yes'
        if device % 11 == 0:
            tags += ',größe=mittel,empty='
        if device % 13 == 0:
            tags = ',zone=z%d%s' % (device % 3, tags)
        f = ','.join('%s=%s' % (name, make(self.random, k)) for name, make in fields)
        if 'NaN' in f:
            self.nans += 1
        return ('%s%s%s %s %d' % (measurement, self.tag, tags, f, stamp)).encode()

    def messages(self):
        """Rounds over all devices, each giving a run of lines of one device a message holds, until all samples are out."""
        r = self.random
        buffers = [[] for _ in range(self.partitions)]
        rounds = -(-self.wanted // self.series)
        messages = 0
        for n in range(2 * rounds):                         # twice: in case that doubles and short devices don't fill them
            k = self.first_step + n
            for kind, device, site, months in self.devices:
                if self.samples >= self.wanted:
                    break
                # a device is seen on few days only: each costs index rows, which the independent reader reads slowly
                which = months[min(n * len(months) // rounds, len(months) - 1)]
                day = (device * 5 + (n % 2) * 9) % 27
                unit = ('ns', 'ms', 's', 'us')[device % 4]
                when = (self.months[which] + day * DAY) * 1000 + 30000 + k * (8000 if unit == 's' else 7919) + device * 1000
                if r.random() < 0.03:                       # late, but at nobody else's time
                    when -= r.randrange(1, 8) * 1000
                line = self._line(kind, device, site, k, when, unit)
                p = zlib.crc32(b'%d' % device) % self.partitions
                out = buffers[p]
                out.append(line)
                self.samples += len(kind[1])
                if self.doubles and device % 17 == 3:
                    if k % 3 == 0:
                        out.append(line)                    # the very same rows again
                        self.nans += b'NaN' in line
                        self.samples += len(kind[1])
                    if k % 3 == 1:                          # other values at the same time
                        out.append(self._line(kind, device, site, k + 1, when, unit))
                        self.samples += len(kind[1])
                if len(out) >= self.lines:
                    messages += 1
                    yield self._message(p, out, messages)
                    buffers[p] = []
        for p, out in enumerate(buffers):
            if out:
                messages += 1
                yield self._message(p, out, messages)

    def _message(self, partition, lines, number):
        if self.bad_every and number % self.bad_every == 7:
            bad = BAD_LINES[number // self.bad_every % len(BAD_LINES)]
            lines = lines[:len(lines) // 2] + [b'# a comment', b'', bad] + lines[len(lines) // 2:]
            self.bad_lines += 1
        end = b'\r\n' if number % 29 == 0 else b'\n'
        return partition, b'p%d' % partition, end.join(lines) + (end if number % 2 else b'')


def unique_messages(seed, messages, months, partitions=3, lines=100, hosts=40, first=0):
    """Messages whose rows are all different: -> (messages, rows by canonical labels).

    Values count up within a series, timestamps repeat now and then (with another value) and come late now and then, new series
    begin all the time; missing and extra rows can be counted exactly.
    """
    from harness.compare import canonical
    r = random.Random(seed)
    rows, out, counters = {}, [], {}
    keys = {}
    for m in range(first, first + messages):
        p = m % partitions
        text = []
        for _ in range(lines):
            host = r.randrange(hosts) * partitions + p
            n = counters[host] = counters.get(host, first * 1000) + 1
            month = months[(n // 50 + host) % len(months)]
            when = month * 1000 + DAY * 1000 * ((host + n // 400) % 20) + (n // 2 if n % 10 == 0 else n) * 1000
            shift = m // 20 if host % 8 == 0 else 0     # new series all the time, and their index rows
            text.append('kill,host=h%d,shift=s%d a=%di,b=%d.5 %d' % (host, shift, n, n, when * 1000000))
            for field, value in (('a', float(n)), ('b', n + 0.5)):
                key = keys.get((host, shift, field))
                if key is None:
                    key = keys[(host, shift, field)] = canonical({'__name__': 'kill_' + field, 'host': 'h%d' % host, 'shift': 's%d' % shift})
                rows.setdefault(key, []).append((when, value))
        out.append((p, b'k%d' % p, '\n'.join(text).encode()))
    return out, rows
