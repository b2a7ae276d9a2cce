"""The messages of mqtt_e2e.py, over an edge plant's topics, and what a stock server has to be given to hold the same.

Formats are mixed by topic. What a message means, a stock server is told in one of three ways:

- influx, JSON lines, remote write: the very payload over HTTP, with `extra_label` for the labels that the subscription takes from the topic;
- json: stock has no such format, so its samples are written down here, by hand so to speak, and go in as JSON lines;
- samples without a time of their own get their arrival, which only Varve knows: their values count up by topic, so that a missing, a doubled and
  a swapped one are seen, and the times that Varve gave them are handed to the stock server.

Series keep within what a block holds exactly: see workload.py.
"""
import collections
import json
import random
import struct
import time

from harness import compress
from harness.compare import canonical
from harness.mqtt import subscription

DAY = 86400
PLANTS = ('p1', 'p2', 'Werk Süd', 'p4', '工場', 'p6', 'a,b=c', 'p8')
PLACE = {'plant': '$1', 'line': '$2', 'rest': '$#'}
ARRIVAL = {'clock': 'arrival'}                      # label of all series whose time is the arrival
UNACKNOWLEDGED = {'qos': '0'}                       # and of those that came with QoS 0

ZIGBEE = {'time': '$.last_seen', 'time_format': 'rfc3339', 'name': 'zigbee', 'fields': ['$.temperature', '$.battery as bat']}
PLC = {'each': '$.readings[*]', 'time': '$$.ts', 'time_format': 'ms', 'name': 'plc', 'labels': {'device': '$$.device.id', 'cell': '$.cell'}}

EDGE = [subscription('plants/+/lines/+/influx/#', 'influx', labels=PLACE),
        subscription('plants/+/lines/+/live/#', 'influx', labels={**PLACE, **ARRIVAL}),
        subscription('plants/+/lines/+/zigbee/#', 'json', labels=PLACE, json=ZIGBEE),
        subscription('plants/+/lines/+/plc/#', 'json', labels=PLACE, json=PLC),
        subscription('plants/+/lines/+/value/#', 'value', labels={**PLACE, **ARRIVAL}),
        subscription('plants/+/lines/+/lines/#', 'jsonline', labels=PLACE),
        subscription('energy/+/+/#', 'prometheus_remote_write', labels={'plant': '$1', 'meter': '$2', 'rest': '$#'})]
HALL = [subscription('halls/+/#', 'influx', labels={'plant': '$1', 'topic': '$topic'})]
FAST = [subscription('fast/+/#', 'influx', qos=0, labels={'plant': '$1', **UNACKNOWLEDGED})]

KINDS = ('influx',) * 7 + ('zigbee',) * 2 + ('plc',) * 3 + ('value',) * 2 + ('lines',) * 2 + ('energy',) * 2 + ('live', 'hall')


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def _field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


class Topic:
    def __init__(self, n, tag):
        self.number, self.kind = n, KINDS[n % len(KINDS)]
        self.day = (n * 5) % 27
        self.plant, self.line = PLANTS[n % 8 if n % 3 == 0 else 0], 'L%d' % (n % 5)
        device = 'dev%d%s' % (n, tag)
        self.device = device
        if self.kind == 'energy':
            self.name = 'energy/%s/m%d/%s' % (self.plant, n % 50, device)
            self.labels = {'plant': self.plant, 'meter': 'm%d' % (n % 50), 'rest': device}
        elif self.kind == 'hall':
            self.name = 'halls/%s/%s' % (self.plant, device)
            self.labels = {'plant': self.plant, 'topic': self.name}
        else:
            rest = device + {'value': '/motor/speed', 'influx': '', 'plc': '/state'}.get(self.kind, '/x/y')
            self.name = 'plants/%s/lines/%s/%s/%s' % (self.plant, self.line, self.kind, rest)
            self.labels = {'plant': self.plant, 'line': self.line, 'rest': rest}
        self.key = self.kind, tuple(self.labels.items())
        self.canonicals = {}
        if self.kind == 'plc':
            self.cells = [[canonical({'__name__': name, 'device': 'plc%d' % n, 'cell': cell, **self.labels}) for name in ('plc_pos_x', 'plc_hot')]
                          for cell in 'ab']

    def canonical(self, name, **labels):
        """Of a series of this topic; labels must follow from the name and the topic."""
        key = self.canonicals.get(name)
        if key is None:
            key = self.canonicals[name] = canonical({'__name__': name, **labels, **self.labels})
        return key


class Workload:
    """messages() yields (topic, payload, QoS, retain). What it yielded is then in
    .payloads     {(kind, labels as a tuple of pairs): [payload as it was before compression]} of influx, lines, energy
    .json_rows    {canonical labels: [(timestamp, value)]}
    .arrival      {canonical labels: [value]}, in the order of publishing
    .counts       messages by sink, .rows: samples by sink; .compressed: messages
    """

    def __init__(self, seed, messages, topics, months, first_step=0, tag=''):
        """tag: into each topic's name, to have series that another Workload hasn't. first_step: the time where the same topics go on."""
        self.random, self.months, self.wanted, self.first_step = random.Random(seed), months, messages, first_step
        self.topics = [Topic(n, tag) for n in range(topics)]
        self.payloads = collections.defaultdict(list)
        self.json_rows, self.arrival = collections.defaultdict(list), collections.defaultdict(list)
        self.counts, self.rows, self.compressed = collections.Counter(), collections.Counter(), 0
        self.steps = -(-messages // topics)

    def messages(self):
        made = 0
        for k in range(self.first_step, self.first_step + self.steps):
            half = self.months[1 if (k - self.first_step) * 2 >= self.steps else 0]
            for t in self.topics:
                if made >= self.wanted:
                    return
                when = (half + t.day * DAY) * 1000 + 30000 + k * 8000 + t.number % 1000
                payload, rows = getattr(self, '_' + t.kind)(t, k, when)
                sink = 'hall' if t.kind == 'hall' else 'edge'
                self.counts[sink] += 1
                self.rows[sink] += rows
                if (t.number + k) % 8 == 3:
                    self.compressed += 1
                    if t.kind == 'energy':          # a snappy block already, which has no magic
                        payload = compress.zstd(self.payloads[t.key][-1])
                    else:
                        payload = compress.ALL[self.compressed % len(compress.ALL)](payload)
                elif t.kind == 'energy':
                    payload = compress.snappy_block(payload)
                made += 1
                yield t.name, payload, 1, t.number % 97 == 0 and t.kind == 'influx'

    def forget_arrivals(self):
        """For a stock server, which can't be told what has no time."""
        self.rows['edge'] -= sum(map(len, self.arrival.values()))
        self.arrival.clear()

    def _keep(self, t, payload):
        self.payloads[t.key].append(payload)
        return payload

    def _influx(self, t, k, when):
        r, n = self.random, t.number
        when -= when % 1000 if n % 4 == 3 else 0
        stamp = (when * 1000000 + 7, when * 1000, when, when // 1000)[n % 4]
        # one in nine has a label of the subscription's in the payload as well
        tags = ',host=h%d%s%s' % (n, ',line=own' if n % 9 == 0 else '', ',größe=mittel' if n % 11 == 0 else '')
        text = 'cpu%s load=%.2f,temp=%.1f %d' % (tags, r.random() * 100, r.random() * 130 - 40, stamp)
        if k % 10 == 0:
            text += '\nnet%s rx=%di %d\n' % (tags, k * 104729 + r.randrange(1000), stamp)
        return self._keep(t, text.encode()), 3 if k % 10 == 0 else 2

    def _hall(self, t, k, when):
        return self._keep(t, b'hall,host=h%d door=%s,n=%di %d' % (t.number, (b't', b'f')[k % 2], k, when)), 2

    def _lines(self, t, k, when):
        r = self.random
        text = b'{"metric":{"__name__":"press","unit":"bar","host":"h%d"},"values":[%.3f,%.3f],"timestamps":[%d,%d]}' % (
            t.number, r.random() * 16, r.random() * 16, when, when + 1000)
        return self._keep(t, text), 2

    def _energy(self, t, k, when):
        """A WriteRequest of two series with one sample each."""
        series = []
        for n, phase in enumerate((b'L1', b'L2')):
            labels = b''.join(_field(1, _field(1, name) + _field(2, value)) for name, value in
                              ((b'__name__', b'power_watts'), (b'host', b'h%d' % t.number), (b'phase', phase)))
            sample = b'\x09' + struct.pack('<d', k * 10 + n) + b'\x10' + varint(when)
            series.append(_field(1, labels + _field(2, sample)))
        return self._keep(t, b''.join(series)), 2

    def _zigbee(self, t, k, when):
        temperature, battery = round(self.random.uniform(-10, 40), 2), 100 - k % 100
        self.json_rows[t.canonical('zigbee_temperature')].append((when, temperature))
        self.json_rows[t.canonical('zigbee_bat')].append((when, float(battery)))
        seen = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(when // 1000)) + '.%03dZ' % (when % 1000)
        return b'{"battery":%d,"last_seen":"%s","linkquality":%d,"state":"ON","temperature":%s}' % (
            battery, seen.encode(), k % 255, repr(temperature).encode()), 2

    def _plc(self, t, k, when):
        """One reading or two, in cells a and b."""
        r, readings = self.random, []
        for n in range(1 + k % 2):
            x, hot, keys = round(r.uniform(-5, 5), 3), r.random() < 0.5, t.cells[n]
            self.json_rows[keys[0]].append((when, x))
            self.json_rows[keys[1]].append((when, float(hot)))
            readings.append('{"cell": "%s", "pos": {"x": %r}, "hot": %s, "note": "ok"}' % ('ab'[n], x, ('false', 'true')[hot]))
        return ('{"v":2,"ts":%d,"device":{"id":"plc%d","fw":"1.4"},"readings":[%s]}' % (when, t.number, ',\n'.join(readings))).encode(), 2 * len(readings)

    def _arrives(self, t, value, name, **labels):
        self.arrival[t.canonical(name, **labels, **ARRIVAL)].append(float(value))

    def _value(self, t, k, _when):
        self._arrives(t, k + 0.5, 'speed')
        return b'%d.5' % k, 1

    def _live(self, t, k, _when):
        self._arrives(t, k, 'live_n', host='h%d' % t.number)
        return b'live,host=h%d n=%di' % (t.number, k), 1


def fast_messages(messages, months, first=0):
    """With QoS 0, rows all different -> (messages, {canonical labels: [(timestamp, value)]})"""
    out, rows = [], collections.defaultdict(list)
    for n in range(first, first + messages):
        when, host, plant = months[0] * 1000 + 3 * DAY * 1000 + n * 50, 'h%d' % (n % 40), 'f%d' % (n % 4)
        out.append(('fast/%s/cell/%s' % (plant, host), b'fast,host=%s n=%di %d' % (host.encode(), n, when), 0))
        rows[canonical({'__name__': 'fast_n', 'host': host, 'plant': plant, **UNACKNOWLEDGED})].append((when, float(n)))
    return out, rows


def feed(stock, load):
    """Gives a stock server what the workload has made, but for what has no time of its own."""
    for (kind, labels), payloads in load.payloads.items():
        extra = [('extra_label', '%s=%s' % pair) for pair in labels]
        if kind in ('influx', 'hall'):
            stock.write('/write', b'\n'.join(payloads), extra)
        elif kind == 'lines':
            stock.write('/api/v1/import', b'\n'.join(payloads), extra)
        else:                                       # messages of a repeated field add up
            stock.write('/api/v1/write', compress.snappy_block(b''.join(payloads)), extra, {'Content-Encoding': 'snappy'})
    import_rows(stock, load.json_rows)


def import_rows(stock, rows):
    """rows: {canonical labels: [(timestamp, value)]}"""
    lines = []
    for key, r in rows.items():
        lines.append('{"metric":%s,"timestamps":%s,"values":%s}' % (key, json.dumps([t for t, _ in r]), json.dumps([v for _, v in r])))
    for at in range(0, len(lines), 1000):
        stock.write('/api/v1/import', '\n'.join(lines[at:at + 1000]).encode())
