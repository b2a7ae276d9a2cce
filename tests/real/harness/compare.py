"""Exports as label set -> multiset of (timestamp, value), and short reports of how two of them differ."""
import json
import struct

SPECIAL = {'Infinity': float('inf'), '-Infinity': float('-inf'), 'NaN': float('nan')}


def value(v):
    """A JSON value of an export as something that compares and sorts: the float's bits matter, NaN (null) sorts last."""
    if v is None:
        return (1, 0.0)
    if isinstance(v, str):
        v = SPECIAL[v]
    v = float(v)
    return (1, 0.0) if v != v else (0, v)


class Export:
    """series: {canonical labels: ([timestamps], [values])}, rows in the order of the export."""

    def __init__(self, lines):
        """lines: JSON lines as bytes or str."""
        self.series, self.rows = {}, 0
        for line in lines:
            if not line.strip():
                continue
            o = json.loads(line, parse_int=int)
            ts, vs = o['timestamps'], o['values']
            if len(ts) != len(vs):
                raise ValueError('%d timestamps and %d values in one line' % (len(ts), len(vs)))
            key = canonical(o['metric'])
            if key in self.series:
                old = self.series[key]
                ts, vs = old[0] + ts, old[1] + vs
                self.rows -= len(old[0])
            self.series[key] = (ts, vs)
            self.rows += len(ts)

    @classmethod
    def of_rows(cls, rows):
        """rows: {canonical labels: [(timestamp, value)]} of what was produced."""
        e = cls(())
        for key, r in rows.items():
            e.series[key] = ([t for t, _ in r], [v for _, v in r])
            e.rows += len(r)
        return e

    def multiset(self, key):
        ts, vs = self.series.get(key, ((), ()))
        return sorted(zip(ts, map(value, vs)))


def canonical(metric):
    return json.dumps(metric, sort_keys=True, ensure_ascii=False)


def _difference(a, b):
    """Two sorted lists -> (in a only, in b only), as multisets."""
    only_a, only_b, i, j = [], [], 0, 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            i, j = i + 1, j + 1
        elif a[i] < b[j]:
            only_a.append(a[i])
            i += 1
        else:
            only_b.append(b[j])
            j += 1
    return only_a + a[i:], only_b + b[j:]


def _show(row):
    ts, (nan, v) = row
    return '%d %s' % (ts, 'NaN' if nan else '%r (%s)' % (v, struct.pack('>d', v).hex()))


class Difference:
    """What `found` lacks of `expected`, and what it has beyond it."""

    def __init__(self, found, expected, examples=4):
        self.missing = self.extra = 0
        self.missing_series = [k for k in expected.series if k not in found.series]
        self.extra_series = [k for k in found.series if k not in expected.series]
        self.examples = []
        for key in {**expected.series, **found.series}:
            f, e = found.series.get(key), expected.series.get(key)
            if f is not None and e is not None and f == e:
                continue
            extra, missing = _difference(found.multiset(key), expected.multiset(key))
            self.missing += len(missing)
            self.extra += len(extra)
            if (missing or extra) and len(self.examples) < examples:
                self.examples.append((key, missing[:3], extra[:3]))

    def __bool__(self):
        return bool(self.missing or self.extra or self.missing_series or self.extra_series)

    def __str__(self):
        out = ['missing %d rows (%d whole series), extra %d rows (%d whole series)' %
               (self.missing, len(self.missing_series), self.extra, len(self.extra_series))]
        for key, missing, extra in self.examples:
            out.append(key[:300])
            out += ['  missing ' + _show(r) for r in missing] + ['  extra   ' + _show(r) for r in extra]
        return '\n'.join(out)


def rounded(text, digits):
    """A query answer's value, rounded: servers add series up in varying order."""
    f = float(text)
    return repr(f) if f != f or f in (float('inf'), float('-inf')) else '%.*e' % (digits - 1, f)


def query_answer(data, digits=12):
    """/api/v1/query and query_range answers in a form that compares."""
    kind, result = data['resultType'], data['result']
    if kind in ('scalar', 'string'):
        return kind, [result[0], rounded(result[1], digits)]
    out = []
    for r in result:
        points = r['values'] if 'values' in r else [r['value']]
        out.append((canonical(r['metric']), [(t, rounded(v, digits)) for t, v in points]))
    return kind, sorted(out)


def answers(one, other, digits=12):
    """Whether two query answers are equal, and a line that shows where not."""
    a, b = query_answer(one, digits), query_answer(other, digits)
    if a == b:
        return True, ''
    if a[0] != b[0] or len(a[1]) != len(b[1]):
        return False, '%s of %d series, and %s of %d' % (a[0], len(a[1]), b[0], len(b[1]))
    for x, y in zip(a[1], b[1]):
        if x != y:
            if isinstance(x, tuple) and isinstance(x[1], list):
                for p, q in zip(x[1], y[1]):
                    if p != q:
                        return False, '%s: %s, expected %s' % (x[0], p, q)
            return False, '%s, expected %s' % (str(x)[:300], str(y)[:300])
    return False, 'unequal'


def lists(found, expected):
    """Two lists of strings (labels, values) as sets -> text, empty if they're equal."""
    f, e = set(found), set(expected)
    if f == e and len(found) == len(f):
        return ''
    return 'missing %s, extra %s, %d doubled' % (sorted(e - f)[:5], sorted(f - e)[:5], len(found) - len(f))
